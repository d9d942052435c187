// Package history converts verdicts of the store to the form that the command line, the HTTP
// API and the pages show.
package history

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postseal/store"
)

// Schema identifies the JSON format of a Page. New fields may be added.
const Schema = "postseal.verdicts/1"

// The sizes of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	topValues    = 5
)

// Verdict is one row. Arrays are never null.
type Verdict struct {
	ID      string    `json:"id,omitempty"` // the cursor of this row; absent until a database has it
	N       int       `json:"n,omitempty"`  // with fold:sender, the verdicts that this one, the newest of them, stands for
	Ref     string    `json:"ref"`
	At      time.Time `json:"at"`
	QID     string    `json:"qid"`
	Door    string    `json:"door"`
	Action  string    `json:"action"`
	Applied string    `json:"applied"`
	Enforce string    `json:"enforce"`
	Reason  string    `json:"reason"`
	Text    string    `json:"text"`    // the results, in a few words
	Because string    `json:"because"` // the same in fewer, without names, and what the mode made of it

	Author   string   `json:"author"`
	Authors  []string `json:"authors"`
	MailFrom string   `json:"mailfrom"` // a domain, "<>" for the null path
	Helo     string   `json:"helo"`
	Client   string   `json:"client"`
	List     string   `json:"list"`

	SPF             string      `json:"spf"`
	SPFDomain       string      `json:"spf_domain"`
	DKIM            string      `json:"dkim"` // the best result of all signatures
	Signatures      []Signature `json:"signatures"`
	ARC             string      `json:"arc"`
	IPRev           string      `json:"iprev"`
	DMARC           string      `json:"dmarc"`
	CountsForAuthor []string    `json:"counts_for_author"` // spf, dkim
	Policy          string      `json:"policy"`
	PolicyDomain    string      `json:"policy_domain"`
	Override        string      `json:"override"`
	Why             string      `json:"why"`

	Stale  int   `json:"stale"`
	DNS    int   `json:"dns_queries"`
	Bytes  int64 `json:"bytes"`
	Millis int   `json:"ms"`
	Late   bool  `json:"late"`
	Node   int   `json:"node"`
}

// Signature is one DKIM signature of a row.
type Signature struct {
	Result   string `json:"result"`
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Reason   string `json:"reason"`
}

// FromRow converts a row.
func FromRow(r *store.Row) Verdict {
	v := Verdict{Ref: r.Ref, At: r.At(), QID: r.QID, Door: r.Door, Action: r.Action, Applied: r.Applied, Enforce: r.Enforce, Reason: r.Reason,
		Author: r.Author, Authors: []string{}, MailFrom: r.MFrom, Helo: r.Helo, List: r.List, SPF: r.SPF, SPFDomain: r.SPFDomain, Signatures: signatures(r.DKIM),
		ARC: r.ARC, IPRev: r.IPRev, DMARC: r.DMARC, CountsForAuthor: []string{}, Policy: r.P, PolicyDomain: r.PolicyDom, Override: r.Override, Why: r.Why,
		Stale: r.Stale, DNS: r.DNS, Bytes: r.Bytes, Millis: r.Took, Late: r.Late, Node: r.Node}
	if r.ID > 0 {
		v.ID = Cursor(r.ID)
	}
	if r.Authors != "" {
		v.Authors = strings.Split(r.Authors, ",")
	} else if r.Author != "" {
		v.Authors = append(v.Authors, r.Author)
	}
	if r.IP.IsValid() {
		v.Client = r.IP.String()
	}
	if r.Aligned == "spf" || r.Aligned == "both" {
		v.CountsForAuthor = append(v.CountsForAuthor, "spf")
	}
	if r.Aligned == "dkim" || r.Aligned == "both" {
		v.CountsForAuthor = append(v.CountsForAuthor, "dkim")
	}
	v.DKIM = best(v.Signatures)
	v.Text, v.Because = text(&v), because(&v)
	return v
}

// signatures reads the log's form: "pass:d/s,fail:d/s(BodyHashMismatch)".
func signatures(s string) []Signature {
	list := []Signature{}
	if s == "" || s == "none" {
		return list
	}
	for part := range strings.SplitSeq(s, ",") {
		result, rest, _ := strings.Cut(part, ":")
		name, reason, _ := strings.Cut(strings.TrimSuffix(rest, ")"), "(")
		domain, selector, _ := strings.Cut(name, "/")
		list = append(list, Signature{result, domain, selector, reason})
	}
	return list
}

// best returns pass if a signature passes, else the result of the first.
func best(list []Signature) string {
	if len(list) == 0 {
		return "none"
	}
	for _, s := range list {
		if s.Result == "pass" {
			return s.Result
		}
	}
	return list[0].Result
}

// text summarizes the results of the identifiers.
func text(v *Verdict) string {
	var parts []string
	switch {
	case len(v.Signatures) == 0:
		parts = append(parts, "no signature")
	case v.DKIM == "pass" && !contains(v.CountsForAuthor, "dkim"):
		parts = append(parts, "DKIM passes for "+passing(v.Signatures)+", not the author")
	case v.DKIM == "pass":
		parts = append(parts, "DKIM passes for the author")
	default:
		parts = append(parts, "DKIM "+v.DKIM+inBrackets(v.Signatures[0].Reason))
	}
	switch {
	case v.SPF == "pass" && !contains(v.CountsForAuthor, "spf"):
		parts = append(parts, "SPF passes for "+v.SPFDomain+", not the author")
	case v.SPF == "pass":
		parts = append(parts, "SPF passes for the author")
	case v.SPF != "" && v.SPF != "skipped":
		parts = append(parts, "SPF "+v.SPF)
	}
	if v.Why != "" {
		parts = append(parts, v.Why)
	}
	return strings.Join(parts, "; ")
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func passing(list []Signature) string {
	for _, s := range list {
		if s.Result == "pass" {
			return s.Domain
		}
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Cursor returns the text of the id of a row; "" is not a cursor.
func Cursor(id int64) string { return strconv.FormatInt(id, 36) }

// ParseCursor reads a cursor.
func ParseCursor(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(s, 36, 64)
	if err != nil || id < 0 || len(s) > 13 {
		return 0, fmt.Errorf("%q is not a cursor: use the value of next of the page before", store.Clean(s))
	}
	return id, nil
}

// Page is a page of verdicts. Figures are only on the first page, if requested.
type Page struct {
	Schema   string    `json:"schema"`
	Query    string    `json:"query"`
	Verdicts []Verdict `json:"verdicts"`
	Next     string    `json:"next"` // the cursor of the following page; "" on the last
	// Reached is set if the time limit was reached: verdicts older than it were not searched.
	Reached *time.Time `json:"reached,omitempty"`
	Count   int        `json:"count"`
	CountIs string     `json:"count_is"` // exact, at-least or unknown
	// Histogram counts hours, the oldest first.
	Histogram []Bar              `json:"histogram"`
	Top       map[string][]Value `json:"top"`
	Lost      []Lost             `json:"lost"` // in the days that the search covers
}

// Bar is an hour: its start, accepted, quarantined, rejected, deferred.
type Bar struct {
	Start  time.Time
	Counts [4]int
}

// MarshalJSON writes an array.
func (b Bar) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `["%s",%d,%d,%d,%d]`, b.Start.Format("2006-01-02T15:04Z"), b.Counts[0], b.Counts[1], b.Counts[2], b.Counts[3]), nil
}

// Value is a value with its count.
type Value struct {
	Value string
	Count int
}

// MarshalJSON writes an array.
func (v Value) MarshalJSON() ([]byte, error) {
	text, err := jsonText(v.Value)
	return fmt.Appendf(nil, "[%s,%d]", text, v.Count), err
}

// Lost counts verdicts that are known to be missing.
type Lost struct {
	Day    string    `json:"day"`
	Node   string    `json:"node"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count"` // -1: not known
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// FromLoss converts a loss.
func FromLoss(l store.Loss) Lost {
	return Lost{Day: l.Day.String(), Node: l.Node, Reason: l.Reason, Count: l.N, First: store.Time(l.First), Last: store.Time(l.Last)}
}

// Options say what a page shows.
type Options struct {
	After   int64 // the cursor
	Limit   int
	Figures bool          // count, histogram and top lists too
	Budget  time.Duration // for the rows, and again for the figures
}

// Find returns a page of a search, with a row for each sender if the search says fold:sender.
func Find(ctx context.Context, r store.Reader, q *store.Query, o Options) (*Page, error) {
	p := &Page{Schema: Schema, Query: q.Text, Verdicts: []Verdict{}, CountIs: "unknown", Histogram: []Bar{}, Top: map[string][]Value{}, Lost: []Lost{}}
	search := store.Search
	var counts []int
	if q.Fold {
		search = func(ctx context.Context, r store.Reader, q *store.Query, before int64, limit int, budget time.Duration) (found store.Page, err error) {
			found, counts, err = senders(ctx, r, q, before, limit, budget)
			return found, err
		}
	}
	found, err := search(ctx, r, q, o.After, o.Limit, o.Budget)
	if err != nil {
		return nil, err
	}
	for i := range found.Rows {
		v := FromRow(&found.Rows[i])
		if counts != nil {
			v.N = counts[i]
		}
		p.Verdicts = append(p.Verdicts, v)
	}
	if found.Next > 0 {
		p.Next = Cursor(found.Next)
	}
	p.reached(found.Reached)
	if err := p.addLosses(ctx, r, q); err != nil {
		return nil, err
	}
	if o.Figures {
		return p, p.addFigures(ctx, r, q, o.Budget)
	}
	return p, nil
}

func (p *Page) reached(millis int64) {
	if millis > 0 {
		t := store.Time(millis)
		p.Reached = &t
	}
}

func (p *Page) addLosses(ctx context.Context, r store.Reader, q *store.Query) error {
	losses, err := r.Losses(ctx)
	if err != nil {
		return err
	}
	for _, l := range losses {
		if (q.Since == 0 || l.Last >= q.Since) && (q.Until == 0 || l.First < q.Until) {
			p.Lost = append(p.Lost, FromLoss(l))
		}
	}
	return nil
}

var topNames = map[store.Field]string{store.FieldAuthor: "author", store.FieldMailFrom: "mailfrom", store.FieldReason: "reason"}

func (p *Page) addFigures(ctx context.Context, r store.Reader, q *store.Query, budget time.Duration) error {
	f, err := store.Summarize(ctx, r, q, topValues, budget)
	if err != nil {
		return err
	}
	if p.Count, p.CountIs = f.Count, "exact"; !f.Exact {
		p.CountIs = "at-least"
	}
	for i := len(f.Hours) - 1; i >= 0; i-- {
		p.Histogram = append(p.Histogram, Bar{store.Time(f.Hours[i].Start), f.Hours[i].Count})
	}
	for field, groups := range f.Top {
		values := []Value{}
		for _, g := range groups {
			values = append(values, Value{g.Value, g.Count})
		}
		p.Top[topNames[field]] = values
	}
	if p.Reached == nil {
		p.reached(f.Reached)
	}
	return nil
}
