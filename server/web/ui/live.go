package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/history"
	"postseal/store"
)

// The limits of the pages that search.
const (
	pageRows   = 50
	liveRows   = 200
	budget     = 800 * time.Millisecond // twice within patience: for the rows, and for the figures
	liveSecond = 10                     // refresh interval of Live
)

// liveData is the data of the Live page.
type liveData struct {
	State   *State
	Words   string // the answer in one line
	Figures []figure
	Minutes []history.Bar // of the last hour, the oldest first
	Counted bool          // Figures have all of today
	Notices *Attention
	Lines   []line
	Quiet   *quiet // nil while mail comes
	Within  string // the search of the lines
	Show    string
	Paused  bool
	Query   string
	Stream  string // the query of the address of the stream
	From    int64  // where the stream continues
	Problem *store.QueryError
}

// figure is one action of today.
type figure struct {
	Action, Name string
	Count        int
	Share        float64
	Rate         float64 // a minute, in the last recentTime
	Curve, Area  string  // the minutes as points of a line, and what is below it; "" if they are not known
	Said         string  // the same in words
}

// line is a row of the stream: one verdict, a repeated one, or a run of accepted mail.
type line struct {
	*history.Verdict
	Times int
	Run   string // for accepted mail: the sender, "" for others
}

var actionNames = map[string]string{"accept": "Accepted", "quarantine": "Quarantined", "reject": "Rejected", "defer": "Deferred"}

// liveShow is a choice of what the stream shows. Those of one action are marks.
type liveShow struct{ Value, Text, Tone string }

var liveShows = []liveShow{{"exceptions", "Exceptions", ""}, {"all", "All", ""}, {"reject", "Rejected", "bad"}, {"quarantine", "Quarantined", "warn"}, {"defer", "Deferred", "hold"}}

// live answers: is mail flowing as it should, and what needs a look?
func (u *ui) live(rw http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	d := &liveData{Show: values.Get("show"), Query: values.Get("q"), Paused: values.Get("follow") == "0"}
	if d.Show == "" {
		d.Show = "exceptions"
	}
	if to := straightTo(strings.TrimSpace(d.Query)); to != "" {
		http.Redirect(rw, r, to, http.StatusSeeOther)
		return
	}
	d.Stream = "?" + url.Values{"show": {d.Show}, "q": {d.Query}}.Encode()
	refresh := liveSecond
	if d.Paused {
		refresh = 0
	}
	d.Notices = u.source.Attention(r.Context())
	db, why := u.source.Store()
	if db == nil {
		d.Words, d.State = "Whether mail flows is not known: there is no history.", &State{"off", why, historyLine}
		u.show(rw, r, http.StatusOK, "live", "Live", refresh, d)
		return
	}
	switch ref, err := u.fillLive(r, db, d); {
	case err != nil:
		d.Words, d.State = "Whether mail flows is not known.", failedState(r, err, "The history cannot be read")
	case ref != "":
		http.Redirect(rw, r, "/v/"+ref, http.StatusSeeOther)
		return
	}
	u.show(rw, r, http.StatusOK, "live", "Live", refresh, d)
}

// fillLive reads what the page shows, or returns the reference of the message whose queue ID was typed.
func (u *ui) fillLive(r *http.Request, db store.Reader, d *liveData) (ref string, err error) {
	now := u.source.Now()
	terms := d.Query
	if d.Show != "all" && d.Show != "exceptions" {
		terms += " applied:" + d.Show
	}
	if d.Within = strings.TrimSpace(folding.ReplaceAllString(terms, " ")); d.Show == "exceptions" {
		d.Within = strings.TrimSpace(d.Within + " -applied:accept")
	}
	q, err := store.ParseQuery(terms, now, u.source.MessageIDKey())
	if problem, ok := queryError(err); ok {
		d.Problem, q = problem, &store.Query{}
	} else if err != nil {
		return "", err
	}
	var page *history.Page
	var today [len(store.HourActions)]int
	within := minutesTime
	newest, err := u.source.Newest(func() (err error) {
		if page, err = history.Find(r.Context(), db, q, history.Options{Limit: liveRows, Budget: budget}); err != nil {
			return err
		}
		if d.Minutes, err = u.source.Recent().Read(r.Context(), db, now, within); err != nil {
			return err
		}
		today, d.Counted, err = u.source.Recent().Today(r.Context(), db, now, d.Minutes, within)
		within = minutesTime / 4 // again: what was counted is known
		return err
	})
	if err != nil {
		return "", err
	}
	if ref := refOfQueue(d.Query, page); ref != "" {
		return ref, nil
	}
	d.From = newest.Last
	page.Verdicts = newest.merge(page.Verdicts, q)
	newest.count(&today, store.DayOf(store.Millis(now)))
	d.Figures = figures(today)
	newest.minutes(d.Minutes)
	rates(d.Figures, d.Minutes, now)
	curves(d.Figures, d.Minutes)
	d.Lines = fold(page.Verdicts, d.Show == "exceptions" || q.Fold)
	if d.Quiet, err = u.quiet(r.Context(), db, &newest, now); err != nil {
		return "", err
	}
	d.Words = flowing(d.Quiet) + d.Notices.words()
	if len(page.Verdicts) == 0 {
		d.State = &State{"empty", "The history contains no verdicts yet.", "Send mail through Postfix."}
		if d.Query != "" || terms != "" {
			d.State = &State{"empty", "Nothing matches.", "Show all, or remove a term."}
		}
	}
	return "", nil
}

// merge adds the newest verdicts that a search finds to those of the history.
func (n *Newest) merge(verdicts []history.Verdict, q *store.Query) []history.Verdict {
	type key struct {
		at  int64
		ref string
	}
	have := map[key]bool{}
	for i := range verdicts {
		have[key{verdicts[i].At.UnixMilli(), verdicts[i].Ref}] = true
	}
	var list []history.Verdict
	for i := range n.Rows {
		if r := &n.Rows[i]; q.Match(r) && !have[key{r.Millis, r.Ref}] {
			list = append(list, history.FromRow(r))
		}
	}
	list = append(list, verdicts...)
	slices.SortStableFunc(list, func(a, b history.Verdict) int { return b.At.Compare(a.At) })
	return list[:min(len(list), liveRows)]
}

// count adds what the history does not have yet to the counts of a day.
func (n *Newest) count(sums *[len(store.HourActions)]int, day store.Day) {
	for i := range n.Unstored {
		r := &n.Unstored[i]
		if action := slices.Index(store.HourActions[:], r.Applied); action >= 0 && store.DayOf(r.Millis) == day {
			sums[action]++
		}
	}
}

// figures are today's verdicts by action.
func figures(today [len(store.HourActions)]int) []figure {
	list := make([]figure, len(store.HourActions))
	total := 0
	for i, action := range store.HourActions {
		list[i] = figure{Action: action, Name: actionNames[action], Count: today[i]}
		total += today[i]
	}
	for i := range list {
		if total > 0 {
			list[i].Share = float64(list[i].Count) / float64(total)
		}
	}
	return list
}

// flowing returns the answer of the page. The rates are below it, where they follow the mail.
func flowing(q *quiet) string {
	if q != nil {
		return q.Words
	}
	return "Mail is flowing."
}

// fold combines consecutive accepted mail into one line, if runs is set, and repeats with the
// same author, network and reason.
func fold(verdicts []history.Verdict, runs bool) []line {
	var lines []line
	for i := 0; i < len(verdicts); {
		v := &verdicts[i]
		n := 1
		if runs && v.Applied == "accept" {
			for i+n < len(verdicts) && verdicts[i+n].Applied == "accept" {
				n++
			}
			lines = append(lines, line{Verdict: v, Times: n, Run: authors(verdicts[i : i+n])})
			i += n
			continue
		}
		for i+n < len(verdicts) && runs && same(v, &verdicts[i+n]) {
			n++
		}
		lines = append(lines, line{Verdict: v, Times: n})
		i += n
	}
	return lines
}

func same(a, b *history.Verdict) bool {
	return a.Author == b.Author && a.Applied == b.Applied && a.Reason == b.Reason && networkOf(a.Client) == networkOf(b.Client)
}

// authors returns the three most frequent authors of a run, and how many others there are.
func authors(run []history.Verdict) string {
	counts := map[string]int{}
	for i := range run {
		counts[run[i].Author]++
	}
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	others := 0
	var words []string
	for i, name := range names {
		if i >= 3 {
			others += counts[name]
			continue
		}
		words = append(words, orNone(name)+" "+strconv.Itoa(counts[name]))
	}
	if others > 0 {
		words = append(words, strconv.Itoa(others)+" others")
	}
	return strings.Join(words, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "(no author)"
	}
	return s
}
