package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

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
	Hours   []hourBar
	Ends    []string // the first and the last hour of Hours
	Tops    []top
	Next    string // URL of the next page
	Export  string // URL of the same result as JSON
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

// search answers: what happened to that message or sender? A search that identifies one message
// redirects to its page.
func (u *ui) search(rw http.ResponseWriter, r *http.Request) {
	d := &searchData{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if ref := strings.ReplaceAll(strings.ToUpper(d.Query), "-", ""); len(ref) == 8 && isRef(ref) {
		http.Redirect(rw, r, "/v/"+ref, http.StatusSeeOther)
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

// queueID returns the reference of the only message found, if the search is its queue ID alone.
func (d *searchData) queueID() string {
	if d.Query == "" || len(d.Page.Verdicts) != 1 || d.Page.Verdicts[0].QID != d.Query {
		return ""
	}
	return d.Page.Verdicts[0].Ref
}

// isRef reports whether s contains only the letters of a reference.
func isRef(s string) bool {
	_, ok := store.RefNumber(s)
	_, err := netip.ParseAddr(s)
	return ok && err != nil
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
	d.Page, err = history.Find(r.Context(), db, q, history.Options{After: after, Limit: pageRows, Figures: after == 0, Budget: budget})
	if err != nil {
		return err
	}
	d.describe()
	return nil
}

// describe builds the words, charts and links of the result page.
func (d *searchData) describe() {
	p := d.Page
	d.Export = "/v1/verdicts?" + url.Values{"q": {d.Query}, "limit": {"1000"}}.Encode()
	if p.Next != "" {
		d.Next = "/search?" + url.Values{"q": {d.Query}, "after": {p.Next}}.Encode()
	}
	switch {
	case len(p.Verdicts) == 0:
		d.Words = "No results."
		d.State = &State{"empty", "No verdict matches.", "Remove a term, or search further back with since:30d."}
	case p.CountIs == "exact":
		d.Words = number(p.Count) + " found" + actionWords(p.Histogram, p.Count) + "."
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
	if all != count || len(parts) == 0 {
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
