package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/suggest"
)

// Field is a column that a search may name.
type Field string

// The fields of the search language.
const (
	FieldAuthor   Field = "author"
	FieldMailFrom Field = "mailfrom"
	FieldIP       Field = "ip"
	FieldHelo     Field = "helo"
	FieldApplied  Field = "applied"
	FieldAction   Field = "action"
	FieldReason   Field = "reason"
	FieldSPF      Field = "spf"
	FieldDKIM     Field = "dkim"
	FieldARC      Field = "arc"
	FieldDMARC    Field = "dmarc"
	FieldPolicy   Field = "policy"
	FieldList     Field = "list"
	FieldQID      Field = "qid"
	FieldRef      Field = "ref"
	FieldDoor     Field = "door"
	FieldRule     Field = "rule"
	// FieldMessageID is the hash of a Message-ID, as hexadecimal digits.
	FieldMessageID Field = "messageid"
	// FieldDomain is the author or the domain of the reverse-path; FieldName is a reference
	// or a queue id: what a bare word may be.
	FieldDomain Field = "domain"
	FieldName   Field = "name"
)

var fields = []Field{FieldAuthor, FieldMailFrom, FieldIP, FieldHelo, FieldApplied, FieldAction, FieldReason, FieldSPF, FieldDKIM, FieldARC, FieldDMARC,
	FieldPolicy, FieldList, FieldQID, FieldRef, FieldDoor, FieldRule, FieldMessageID, FieldDomain}

var (
	actions    = []string{"accept", "quarantine", "reject", "defer"}
	closedSets = map[Field][]string{
		FieldApplied: actions, FieldAction: actions,
		FieldSPF:    {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", "skipped"},
		FieldARC:    {"none", "pass", "fail"},
		FieldDMARC:  {"none", "pass", "fail", "temperror", "permerror"},
		FieldPolicy: {"none", "quarantine", "reject"},
		FieldDoor:   {"milter", "smtp", "http", "replay"},
	}
)

// Term is one condition: the field has one of the values, or none of them if Not is set.
type Term struct {
	Field  Field
	Not    bool
	Values []string // a domain may begin with "*.", which stands for all names below it
	Net    netip.Prefix
}

// Query is a parsed search: all terms hold, and the verdict is of Since or later and before
// Until, in milliseconds since 1970; 0 is not a bound.
type Query struct {
	Text         string
	Terms        []Term
	Since, Until int64
	Node         int  // only verdicts of the host in this slot; 0: of all
	Fold         bool // fold:sender: verdicts of one sender share a row
	key          MessageIDKey
}

// QueryError says what is wrong with a search, and where.
type QueryError struct {
	Offset int // octets from the start
	Text   string
	Hint   string
}

// Error returns what is wrong, with its place.
func (e *QueryError) Error() string { return fmt.Sprintf("at character %d: %s", e.Offset+1, e.Text) }

const (
	maxQuery = 2048
	maxTerms = 32
)

// ParseQuery reads the search language: terms field:value, separated by spaces, all of which
// must hold. A comma separates values of which one must hold, "-" before a term negates it,
// quotation marks hold a value with spaces together. since: and until: take a time such as
// 7d, 12h, 2026-11-30 or RFC 3339, before or at now. fold:sender says how the result is shown. A bare word is an address, a network,
// a domain, an action, a Message-ID in angle brackets, a reference or a queue id, by its form.
// Message-IDs are found by their hash with key. The error is a *QueryError.
func ParseQuery(text string, now time.Time, key MessageIDKey) (*Query, error) {
	q := &Query{Text: strings.TrimSpace(text), key: key}
	if len(text) > maxQuery {
		return nil, &QueryError{Text: fmt.Sprintf("the search is longer than %d bytes", maxQuery)}
	}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		if err := q.add(w, now); err != nil {
			return nil, err
		}
	}
	if len(q.Terms) > maxTerms {
		return nil, &QueryError{Text: fmt.Sprintf("the search has more than %d terms", maxTerms)}
	}
	if q.Since > 0 && q.Until > 0 && q.Since >= q.Until {
		return nil, &QueryError{Text: "since: is not before until:"}
	}
	return q, nil
}

type token struct {
	at    int
	not   bool
	field string // "" for a bare word
	value string
}

// split cuts a search into tokens.
func split(text string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r' {
			i++
			continue
		}
		t := token{at: i}
		if text[i] == '-' && i+1 < len(text) && text[i+1] != ' ' {
			t.not = true
			i++
		}
		value, end, err := value(text, i, true)
		if err != nil {
			return nil, err
		}
		if end < len(text) && text[end] == ':' && isField(value) {
			t.field = strings.ToLower(value)
			if value, end, err = valueAfter(text, end+1); err != nil {
				return nil, err
			}
			if value == "" {
				return nil, &QueryError{Offset: t.at, Text: t.field + ": has no value", Hint: "write it like " + t.field + ":" + example(Field(t.field))}
			}
		}
		t.value, i = value, end
		tokens = append(tokens, t)
	}
	return tokens, nil
}

func valueAfter(text string, at int) (string, int, error) { return value(text, at, false) }

// value reads to the next space, or within quotation marks; before a field it ends at the
// first colon after a word.
func value(text string, at int, field bool) (string, int, error) {
	if at < len(text) && text[at] == '"' {
		end := strings.IndexByte(text[at+1:], '"')
		if end < 0 {
			return "", 0, &QueryError{Offset: at, Text: "the closing quotation mark is missing"}
		}
		return text[at+1 : at+1+end], at + end + 2, nil
	}
	end := at
	for end < len(text) && !strings.ContainsRune(" \t\r\n", rune(text[end])) {
		if field && text[end] == ':' && isField(text[at:end]) {
			break
		}
		end++
	}
	return text[at:end], end, nil
}

// isField reports whether s may be the name of a field: letters that are not the start of an
// IPv6 address.
func isField(s string) bool {
	if s == "" || len(s) <= 4 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == "" {
		return false
	}
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz_-") == ""
}

func example(f Field) string {
	switch f {
	case FieldIP:
		return "192.0.2.0/24"
	case "since", "until":
		return "7d"
	case "fold":
		return "sender"
	case FieldRef:
		return "7KQ2-9F3M"
	case FieldMessageID:
		return "<1@acme.test>"
	case FieldAuthor, FieldMailFrom, FieldDomain, FieldList:
		return "acme.test"
	}
	if set := closedSets[f]; set != nil {
		return set[len(set)-1]
	}
	return "VALUE"
}

func (q *Query) add(t token, now time.Time) error {
	fail := func(format string, args ...any) *QueryError {
		return &QueryError{Offset: t.at, Text: fmt.Sprintf(format, args...)}
	}
	switch t.field {
	case "since", "until":
		return q.bound(t, now)
	case "fold":
		if t.not || !strings.EqualFold(t.value, "sender") {
			return &QueryError{Offset: t.at, Text: "fold takes the value sender only", Hint: "write it like fold:sender"}
		}
		q.Fold = true
		return nil
	case "":
		return q.bare(t)
	}
	f := Field(t.field)
	if !slices.Contains(fields, f) {
		e := fail("there is no field %q", t.field)
		names := []string{"since", "until", "fold"}
		for _, known := range fields {
			names = append(names, string(known))
		}
		if guess := suggest.Of(t.field, names); guess != "" {
			e.Hint = fmt.Sprintf("did you mean %s:%s?", guess, t.value)
		} else {
			e.Hint = "known fields are " + strings.Join(names, ", ")
		}
		return e
	}
	return q.term(t, f)
}

// term adds the condition field:value after checking its values.
func (q *Query) term(t token, f Field) error {
	term := Term{Field: f, Not: t.not}
	if f == FieldIP {
		p, err := network(t.value)
		if err != nil {
			return &QueryError{Offset: t.at, Text: fmt.Sprintf("%q is not an address or network", t.value), Hint: "write it like 192.0.2.25 or 2001:db8::/32"}
		}
		term.Net = p
		q.Terms = append(q.Terms, term)
		return nil
	}
	if f == FieldMessageID { // it may have commas
		v, err := q.key.hashID(t.value)
		if err != nil {
			err.Offset = t.at
			return err
		}
		term.Values = []string{v}
		q.Terms = append(q.Terms, term)
		return nil
	}
	for v := range strings.SplitSeq(t.value, ",") {
		v, err := normal(f, strings.TrimSpace(v))
		if err != nil {
			err.Offset = t.at
			return err
		}
		term.Values = append(term.Values, v)
	}
	q.Terms = append(q.Terms, term)
	return nil
}

// normal returns a value as rows hold it.
func normal(f Field, v string) (string, *QueryError) {
	if v == "" {
		return "", &QueryError{Text: string(f) + ": has an empty value"}
	}
	if set := closedSets[f]; set != nil {
		v = strings.ToLower(v)
		if slices.Contains(set, v) {
			return v, nil
		}
		e := &QueryError{Text: fmt.Sprintf("%s:%s is not one of %s", f, Clean(v), strings.Join(set, ", "))}
		if guess := suggest.Of(v, set); guess != "" {
			e.Hint = fmt.Sprintf("did you mean %s:%s?", f, guess)
		}
		return "", e
	}
	switch f {
	case FieldAuthor, FieldMailFrom, FieldDomain, FieldList, FieldHelo:
		if v == "<>" {
			return v, nil
		}
		if below, ok := strings.CutPrefix(v, "*."); ok {
			return "*." + Domain(below), nil
		}
		if at := strings.LastIndexByte(v, '@'); at >= 0 { // rows hold domains only
			v = v[at+1:]
		}
		return Domain(v), nil
	case FieldRef:
		n, ok := RefNumber(v)
		if !ok {
			return "", &QueryError{Text: fmt.Sprintf("%q is not a reference", Clean(v)), Hint: "write it like 7KQ2-9F3M"}
		}
		return RefText(n), nil
	}
	return Clean(v), nil
}

func network(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	return p.Masked(), nil
}

// bare guesses what a word means by its form.
func (q *Query) bare(t token) error {
	if _, err := network(t.value); err == nil {
		return q.term(t, FieldIP)
	}
	lower := strings.ToLower(t.value)
	switch {
	case len(q.key) > 0 && strings.HasPrefix(lower, "<") && strings.Contains(lower, "@"):
		return q.term(t, FieldMessageID)
	case slices.Contains(actions, lower):
		return q.term(t, FieldApplied)
	case strings.ContainsAny(lower, ".@"):
		return q.term(t, FieldDomain)
	}
	if strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && len(lower) >= 6 && len(lower) <= 64 {
		q.Terms = append(q.Terms, Term{Field: FieldName, Not: t.not, Values: []string{t.value}})
		return nil
	}
	return &QueryError{Offset: t.at, Text: fmt.Sprintf("%q is not an address, domain, action, reference or queue id", Clean(t.value)),
		Hint: "name the field, as in reason:" + strings.ReplaceAll(Clean(t.value), " ", "")}
}

// bound sets Since or Until.
func (q *Query) bound(t token, now time.Time) error {
	if t.not {
		return &QueryError{Offset: t.at, Text: t.field + ": cannot be negated"}
	}
	at, wholeDay, err := ParseTime(t.value, now)
	if err != nil {
		return &QueryError{Offset: t.at, Text: fmt.Sprintf("%q is not a time", Clean(t.value)), Hint: "write it like 30d, 12h, 2026-11-30 or 2026-11-30T08:30:00Z"}
	}
	switch {
	case t.field == "since":
		q.Since = max(1, Millis(at))
	case wholeDay:
		q.Until = max(1, Millis(at)+dayMillis)
	default:
		q.Until = max(1, Millis(at))
	}
	return nil
}

// ParseTime reads a time: so many weeks, days, hours, minutes or seconds before now (2w, 30d,
// 12h, 15m, 30s), a UTC day, or RFC 3339. day reports whether it is a whole day.
func ParseTime(s string, now time.Time) (at time.Time, day bool, err error) {
	if t, err := time.ParseInLocation(time.DateOnly, s, time.UTC); err == nil {
		return t, true, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, false, nil
	}
	units := map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}
	if len(s) < 2 {
		return at, false, strconv.ErrSyntax
	}
	unit := units[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || unit == 0 || n > uint64(100*366*24*time.Hour/unit) {
		return at, false, strconv.ErrSyntax
	}
	return now.Add(-time.Duration(n) * unit), false, nil
}
