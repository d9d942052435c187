package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/app/inbox"
	"postseal/store"
)

// reportsData is the data of the Reports in page: one domain, or the domains that reports are about.
type reportsData struct {
	State   *State
	Words   string
	Lead    string
	Domains []string
	Domain  string
	Days    int
	Show    string
	Summary *inbox.Summary
	Sources []inbox.SourceSum
	Periods []int
	Shows   []choice
	Stages  []stage
	Ask     string // a source that may be the domain's own
	Bars    []dayBar
	Most    int64 // messages of the largest day
	Read    []readFile
	Failed  string // why an act was not done
}

// stage is a policy on the way to reject.
type stage struct{ Policy, Tone, Words, Detail string }

// dayBar is a day of the chart. All numbers but the counts are in percent.
type dayBar struct {
	inbox.DaySum
	X, Width                    float64
	Aligned1, Failing1, Others1 float64 // heights
	AlignedY, FailingY, OthersY float64
}

// ReportDays is how many days the page Reports shows at first, MaxReportDays how many at most.
const (
	ReportDays    = 30
	MaxReportDays = 366
)

// AskedReports is the question of the page Reports.
func AskedReports(name domain.Name, days int, now time.Time) inbox.Asked {
	until := store.DayOf(store.Millis(now))
	return inbox.Asked{Domain: string(name), Since: until - store.Day(days-1), Until: until}
}

var sourceShows = []choice{{"all", "All"}, {"mend", "To fix"}, {"others", "Not yours"}}

// inboxOf returns the reports of others, or why there are none to show.
func (u *ui) inboxOf() (store.Inbox, *State) {
	db, why := u.source.Store()
	if db == nil {
		return nil, &State{"off", why, "Reports of others are kept in the history. " + historyLine}
	}
	in, ok := db.(store.Inbox)
	if !ok {
		return nil, &State{"off", "This database keeps no reports.", ""}
	}
	return in, nil
}

// reports answers for all domains: which ones are reports about?
func (u *ui) reports(rw http.ResponseWriter, r *http.Request) {
	d := &reportsData{Words: "Which domain?"}
	in, state := u.inboxOf()
	if state != nil {
		d.Words, d.State = "No reports of others are kept.", state
		u.show(rw, r, http.StatusOK, "reports", "Reports", 0, d)
		return
	}
	names, err := in.InboundDomains(r.Context())
	switch {
	case err != nil:
		d.Words, d.State = "The reports of others cannot be shown.", failedState(r, err, "The reports cannot be read")
	case len(names) == 0:
		d.Words = "No report has been read yet."
		d.State = &State{"empty", "Receivers send reports to the address in rua= of your DMARC record.", "Publish _dmarc.example.com TXT \"v=DMARC1; p=none; rua=mailto:reports@example.com\"; the first reports come within two days. postseal report read takes files."}
	case len(names) == 1 && r.URL.Query().Get("all") == "":
		http.Redirect(rw, r, "/reports/"+url.PathEscape(names[0]), http.StatusSeeOther)
		return
	}
	d.Domains = names
	u.show(rw, r, http.StatusOK, "reports", "Reports", 0, d)
}

// reportsOf answers: may this domain go to enforcement, and what is left to do?
func (u *ui) reportsOf(rw http.ResponseWriter, r *http.Request) {
	name, err := domain.Parse(r.PathValue("domain"))
	d := &reportsData{Days: ReportDays, Show: cmp.Or(r.URL.Query().Get("show"), "all"), Periods: []int{7, 30, 90}, Shows: sourceShows, Domain: string(name)}
	if err != nil {
		d.Words, d.State = "This is not a domain name.", &State{"failed", store.Clean(err.Error()), ""}
		u.show(rw, r, http.StatusBadRequest, "reports", "Reports", 0, d)
		return
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("days")); err == nil && n > 0 && n <= MaxReportDays {
		d.Days = n
	}
	in, state := u.inboxOf()
	if state != nil {
		d.Words, d.State = "Whether "+d.Domain+" may go to enforcement is not known.", state
		u.show(rw, r, http.StatusOK, "reports", d.Domain, 0, d)
		return
	}
	s, err := inbox.Summarize(r.Context(), in, AskedReports(name, d.Days, u.source.Now()))
	if err != nil {
		d.Words, d.State = "Whether "+d.Domain+" may go to enforcement is not known.", failedState(r, err, "The reports cannot be read")
		u.show(rw, r, http.StatusServiceUnavailable, "reports", d.Domain, 0, d)
		return
	}
	d.describe(s)
	u.show(rw, r, http.StatusOK, "reports", d.Domain, 0, d)
}

func (d *reportsData) describe(s *inbox.Summary) {
	d.Summary = s
	if len(s.Sources) == 0 {
		d.Words = "No report is about " + d.Domain + " in this period."
		d.State = &State{"empty", "Reports come a day after the mail.", "Look further back, or publish rua= in the DMARC record of " + d.Domain + "."}
		return
	}
	d.Words, d.Lead = readiness(s)
	d.Stages, d.Bars = stagesOf(s), d.bars(s)
	for _, line := range s.Readiness[len(s.Readiness)-1].Arithmetic {
		if strings.HasSuffix(line, "?") {
			d.Ask = line
		}
	}
	for i := range s.Sources {
		if x := &s.Sources[i]; d.Show == "all" || d.Show == "mend" && toFix(x) || d.Show == "others" && !x.Ours() {
			d.Sources = append(d.Sources, *x)
		}
	}
}

// readiness returns the answer of the page, with the figures that it rests on.
func readiness(s *inbox.Summary) (words, lead string) {
	ready := map[string]*inbox.Readiness{}
	for i := range s.Readiness {
		ready[s.Readiness[i].Policy] = &s.Readiness[i]
	}
	lead = fmt.Sprintf("%s messages in %s of %s, %s pass DMARC. The policy is p=%s.", number(s.Total.Messages), plural(s.Reports, "report", "reports"), plural(s.Reporters, "receiver", "receivers"), share(s.Total.DMARC, s.Total.Messages), cmp.Or(s.Policy, "none"))
	switch q, j := ready["quarantine"], ready["reject"]; {
	case j != nil && j.Ready:
		return s.Domain + " is ready for p=reject.", lead
	case j != nil && len(j.Blockers) == 1:
		return s.Domain + " is almost ready for p=reject: one thing is left.", lead
	case q != nil && q.Ready:
		return s.Domain + " is ready for p=quarantine, and not yet for p=reject.", lead
	case q != nil && len(q.Blockers) == 1:
		return s.Domain + " is almost ready for p=quarantine: one thing is left.", lead
	}
	return s.Domain + " is not ready for enforcement.", lead
}

func share(n, of int64) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f%%", float64(n)/float64(of)*100)
}

func toFix(x *inbox.SourceSum) bool { return x.Ours() && x.Failing() > 0 }

// policies are the stages of DMARC, the mildest first.
var policies = []string{"none", "quarantine", "reject"}

// stagesOf says for each policy whether it is published, could be, or what is left.
func stagesOf(s *inbox.Summary) []stage {
	now := max(slices.Index(policies, s.Policy), 0)
	list := []stage{{Policy: "none", Tone: "ok", Words: "p=none", Detail: plural(s.Reporters, "receiver reports", "receivers report") + ", " + share(s.Total.DMARC, s.Total.Messages) + " of the mail passes."}}
	for i := range s.Readiness {
		r := &s.Readiness[i]
		x := stage{Policy: r.Policy, Words: "p=" + r.Policy}
		switch k := slices.Index(policies, r.Policy); {
		case k <= now:
			x.Tone, x.Detail = "ok", "Published."
			if !r.Ready && len(r.Blockers) > 0 {
				x.Tone, x.Detail = "warn", "Published, although: "+r.Blockers[0]
			}
		case r.Ready:
			x.Tone, x.Words, x.Detail = "ok", x.Words+", ready", "It can be published."
		case len(r.Blockers) > 0:
			x.Tone, x.Words, x.Detail = "warn", x.Words+", "+plural(len(r.Blockers), "thing left", "things left"), r.Blockers[0]
		default:
			x.Tone, x.Words = "none", x.Words+", not yet"
		}
		x.Detail = sentence(x.Detail)
		list = append(list, x)
	}
	return list
}

// bars draws the messages of each day: those that pass at the bottom, then those of ours that fail,
// then the others.
func (d *reportsData) bars(s *inbox.Summary) []dayBar {
	d.Most = 1
	for _, x := range s.ByDay {
		d.Most = max(d.Most, x.Aligned+x.Failing+x.Others)
	}
	step := 100 / float64(max(len(s.ByDay), 7))
	var list []dayBar
	for i, x := range s.ByDay {
		high := func(n int64) float64 { return float64(n) / float64(d.Most) * 100 }
		b := dayBar{DaySum: x, X: float64(i) * step, Width: step * 0.78, Aligned1: high(x.Aligned), Failing1: high(x.Failing), Others1: high(x.Others)}
		b.AlignedY = 100 - b.Aligned1
		b.FailingY = b.AlignedY - b.Failing1
		b.OthersY = b.FailingY - b.Others1
		list = append(list, b)
	}
	return list
}
