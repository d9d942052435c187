package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"postseal/domain"
	"postseal/internal/app/history"
	"postseal/store"
)

// searchData is the data of the Search page.
type searchData struct {
	State   *State
	Query   string
	Problem *store.QueryError
	Words   string
	Page    *history.Page
	Lines   []line
	Within  string // the search without fold:sender
	Hours   []hourBar
	Ends    []string // the first and the last hour of Hours
	Tops    []top
	Newer   string // URL of the page before
	Next    string // URL of the next page
	Export  string // URL of the same result as JSON lines
	Fold    string // URL of the same result, folded or not
	Folded  bool
	Follow  string // URL of the page Live with this search
	Domain  string // that the search is about, alone
	Known   *history.Domain
}

// hourBar is one hour of the histogram.
type hourBar struct {
	X, Width float64
	Parts    []part
	Link     string
	Label    string
}

// part is one action of an hour. Y and Height are in percent.
type part struct {
	Action    string
	Y, Height float64
}

// top is a list of the most frequent values of a field.
type top struct {
	Title  string
	Values []topValue
}

type topValue struct {
	Value string
	Count int
	Link  string
}

// queryError describes what is wrong with a search.
func queryError(err error) (*store.QueryError, bool) {
	var wrong *store.QueryError
	ok := errors.As(err, &wrong)
	return wrong, ok
}

// problem is what is wrong with a search, in sentences, with the word that it is about.
type problem struct {
	Text, Hint          string
	At                  int // the character, from 1 on
	Before, Word, After string
}

func problemOf(e *store.QueryError, query string) problem {
	at := min(max(e.Offset, 0), len(query))
	end := len(query)
	if i := strings.IndexByte(query[at:], ' '); i >= 0 {
		end = at + i
	}
	return problem{strings.TrimSuffix(sentence(e.Text), "."), sentence(e.Hint), utf8.RuneCountInString(query[:at]) + 1, query[:at], query[at:end], query[end:]}
}

// glance is how long the figures of all verdicts may take: whoever opens the page wants to type a search.
const glance = 150 * time.Millisecond

// search answers: what happened to that message or sender? A search that identifies one message
// redirects to its page.
func (u *ui) search(rw http.ResponseWriter, r *http.Request) {
	d := &searchData{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if to := straightTo(d.Query); to != "" {
		http.Redirect(rw, r, to, http.StatusSeeOther)
		return
	}
	db, why := u.source.Store()
	if db == nil {
		d.Words, d.State = "There is no history to search.", &State{"off", why, historyLine}
		u.show(rw, r, http.StatusOK, "search", "Search", 0, d)
		return
	}
	status := http.StatusOK
	switch err := u.find(r, db, d); {
	case d.Problem != nil:
		status, d.Words = http.StatusBadRequest, "This search cannot be read."
	case err != nil:
		status = http.StatusServiceUnavailable
		d.Words, d.State = "The search has no answer.", failedState(r, err, "The history cannot be searched")
	case d.queueID() != "":
		http.Redirect(rw, r, "/v/"+d.queueID(), http.StatusSeeOther)
		return
	}
	u.show(rw, r, status, "search", "Search", 0, d)
}

// notInDomains are the characters that a word must not have to be taken for a domain.
const notInDomains = " \t\r\n\",:;<>()[]{}/\\@?#%=&"

// straightTo returns the address of the page of a word that was typed alone: a message for its reference, the search for
// a domain, an address or a network. It is "" for other text.
func straightTo(text string) string {
	if ip, err := netip.ParseAddr(text); err == nil {
		return searchLink("ip:" + ip.Unmap().WithZone("").String())
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return searchLink("ip:" + p.Masked().String())
	}
	if isRef(text) && !strings.HasPrefix(text, "-") {
		return "/v/" + text // as it was typed: a queue ID may look like a reference
	}
	name := text
	if i := strings.LastIndexByte(text, '@'); i > 0 { // rows hold domains only
		name = text[i+1:]
	}
	if !strings.Contains(name, ".") || strings.HasPrefix(text, "-") || strings.ContainsAny(name, notInDomains) || strings.ContainsAny(text, " \t\r\n<>") {
		return ""
	}
	parsed, err := domain.Parse(name)
	if err != nil {
		return ""
	}
	return searchLink("domain:" + string(parsed))
}

// queueID returns the reference of the only message found, if the search is its queue ID alone.
func (d *searchData) queueID() string { return refOfQueue(d.Query, d.Page) }

// refOfQueue returns the reference of the only message of a page, if the search is its queue ID alone, else "".
func refOfQueue(query string, p *history.Page) string {
	if query == "" || p == nil || len(p.Verdicts) != 1 || p.Verdicts[0].QID != query {
		return ""
	}
	return p.Verdicts[0].Ref
}

// isRef reports whether s is a reference, with or without its dash, in upper or lower case.
func isRef(s string) bool {
	_, ok := store.RefNumber(s)
	return ok
}

func (u *ui) find(r *http.Request, db store.Reader, d *searchData) error {
	q, err := store.ParseQuery(d.Query, u.source.Now(), u.source.MessageIDKey())
	if problem, ok := queryError(err); ok {
		d.Problem = problem
		return nil
	}
	if err != nil {
		return err
	}
	after, err := history.ParseCursor(r.URL.Query().Get("after"))
	if err != nil {
		after = 0
	}
	o := history.Options{After: after, Limit: pageRows, Figures: after == 0, Budget: budget}
	if d.Query == "" {
		o.Budget = glance
	}
	if d.Page, err = history.Find(r.Context(), db, q, o); err != nil {
		return err
	}
	if d.Query == "" && len(d.Page.Verdicts) == pageRows && d.Page.Reached != nil {
		d.Page.Reached, d.Page.CountIs, d.Page.Histogram, d.Page.Top = nil, "unknown", nil, nil
	}
	d.Folded = q.Fold
	d.describe()
	if len(q.Terms) == 1 && q.Since == 0 && q.Until == 0 {
		d.about(r, db, &q.Terms[0])
	}
	if after > 0 {
		d.Newer = d.address(d.before(r.Context(), db, q))
	}
	return nil
}

// about shows what is known of the domain, if the search is about one alone.
func (d *searchData) about(r *http.Request, db store.Reader, t *store.Term) {
	const shown = 5
	switch t.Field {
	case store.FieldDomain, store.FieldAuthor, store.FieldMailFrom:
	default:
		return
	}
	if t.Not || len(t.Values) != 1 || strings.HasPrefix(t.Values[0], "*") || t.Values[0] == "<>" {
		return
	}
	d.Domain = t.Values[0]
	ctx, cancel := context.WithTimeout(r.Context(), budget/2)
	defer cancel()
	known, err := history.Known(ctx, db, d.Domain)
	if err != nil {
		return // the search was answered
	}
	known.Selectors, known.Policies = known.Selectors[:min(shown, len(known.Selectors))], known.Policies[:min(shown, len(known.Policies))]
	d.Known = known
}

// before returns the cursor of the page before this one, "" for the first: its verdicts are the next newer ones. A page of
// senders has no size in verdicts, so the first one is before it.
func (d *searchData) before(ctx context.Context, db store.Reader, q *store.Query) string {
	if q.Fold || len(d.Page.Verdicts) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	first, err := history.ParseCursor(d.Page.Verdicts[0].ID)
	if err != nil {
		return ""
	}
	newer, err := store.Newer(ctx, db, q, first, pageRows+1)
	if err != nil || len(newer) <= pageRows {
		return ""
	}
	return history.Cursor(newer[pageRows].ID)
}

// address returns the URL of the page of this search that begins after a cursor.
func (d *searchData) address(after string) string {
	v := url.Values{"q": {d.Query}}
	if after != "" {
		v.Set("after", after)
	}
	return "/search?" + v.Encode()
}

// folding finds the term that folds a search.
var folding = regexp.MustCompile(`(?i)(^|\s)fold:"?sender"?(\s|$)`)

// describe builds the words, charts and links of the result page.
func (d *searchData) describe() {
	p := d.Page
	d.Export = "/search.jsonl?" + url.Values{"q": {d.Query}}.Encode()
	if p.Next != "" {
		d.Next = d.address(p.Next)
	}
	d.Within = strings.TrimSpace(folding.ReplaceAllString(d.Query, " "))
	if d.Fold = searchLink(strings.TrimSpace(d.Query + " fold:sender")); d.Folded {
		d.Fold = searchLink(d.Within)
	}
	d.Follow = "/live?" + url.Values{"show": {"all"}, "q": {d.Within}}.Encode()
	for i := range p.Verdicts {
		d.Lines = append(d.Lines, line{Verdict: &p.Verdicts[i], Times: p.Verdicts[i].N})
	}
	switch {
	case len(p.Verdicts) == 0:
		d.Words = "No results."
		d.State = &State{"empty", "No verdict matches.", "Remove a term, or search further back with since:30d."}
	case p.CountIs == "exact":
		d.Words = number(p.Count) + " found" + actionWords(p.Histogram, p.Count) + "."
	case p.CountIs == "unknown" && d.Query == "":
		d.Words = "The newest verdicts."
	case p.CountIs == "at-least":
		d.Words = "More than " + number(p.Count) + " found."
	}
	if p.Reached != nil {
		d.Words += fmt.Sprintf(" The search ran out of time; verdicts older than %s were not searched.", p.Reached.UTC().Format("2 January 15:04"))
	}
	d.Hours = hourBars(p.Histogram, d.Query)
	if n := len(p.Histogram); n > 0 {
		for _, i := range []int{0, n - 1} {
			d.Ends = append(d.Ends, p.Histogram[i].Start.UTC().Format("2 Jan 15:04"))
		}
	}
	for _, f := range []struct{ field, title string }{{"author", "Author"}, {"mailfrom", "Sent by"}, {"reason", "Reason"}} {
		t := top{Title: f.title}
		for _, v := range p.Top[f.field] {
			t.Values = append(t.Values, topValue{orNone(v.Value), v.Count, searchLink(strings.TrimSpace(d.Query + " " + f.field + ":" + quoted(v.Value)))})
		}
		if len(t.Values) > 0 {
			d.Tops = append(d.Tops, t)
		}
	}
}

// actionWords says what was done with the verdicts of a histogram; "" if it does not have all of them.
func actionWords(hours []history.Bar, count int) string {
	var sums [4]int
	all := 0
	for i := range hours {
		for k, n := range hours[i].Counts {
			sums[k] += n
			all += n
		}
	}
	if all != count {
		return ""
	}
	return sumWords(sums)
}

// sumWords says how many verdicts have each action, after their number: ", all rejected"; "" for none.
func sumWords(sums [4]int) string {
	all := sums[0] + sums[1] + sums[2] + sums[3]
	var parts []string
	for k, n := range sums {
		word := strings.ToLower(actionNames[store.HourActions[k]])
		switch {
		case n > 0 && n == all:
			parts = append(parts, map[bool]string{true: "all ", false: ""}[n > 1]+word)
		case n > 0:
			parts = append(parts, number(n)+" "+word)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return map[bool]string{true: ", ", false: ": "}[len(parts) == 1] + strings.Join(parts, ", ")
}

// quoted writes a value as the search language reads it.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \",:") {
		return `"` + strings.ReplaceAll(s, `"`, "") + `"`
	}
	return s
}

// hourBars stacks the actions of each hour. Accepted mail has the lightest color.
func hourBars(hours []history.Bar, query string) []hourBar {
	most := 1
	for _, h := range hours {
		most = max(most, h.Counts[0]+h.Counts[1]+h.Counts[2]+h.Counts[3])
	}
	const widest = 12
	var bars []hourBar
	for i, h := range hours {
		b := hourBar{X: float64(i) * 100 / float64(len(hours)), Width: min(widest, 80/float64(len(hours)))}
		y, all := 100.0, 0
		for k, n := range h.Counts {
			height := float64(n) / float64(most) * 100
			y -= height
			all += n
			if n > 0 {
				b.Parts = append(b.Parts, part{store.HourActions[k], y, height})
			}
		}
		b.Label = fmt.Sprintf("%s: %d", h.Start.UTC().Format("2 Jan 15:04"), all)
		b.Link = searchLink(strings.TrimSpace(query + " since:" + h.Start.UTC().Format("2006-01-02T15:04:05Z") + " until:" + h.Start.UTC().Add(3600e9).Format("2006-01-02T15:04:05Z")))
		bars = append(bars, b)
	}
	return bars
}
