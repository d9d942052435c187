package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/app/inbox"
	"postseal/resolver"
	"postseal/store"
)

// reportsData is the data of the Reports in page: one domain, or the domains that reports are about.
type reportsData struct {
	State     *State
	Words     string
	Lead      string
	Domains   []string
	Domain    string
	Days      int
	Show      string
	Named     string // a part of the name of the sources that are shown
	Summary   *inbox.Summary
	Sources   []inbox.SourceSum // of this page
	Count     int               // of all pages
	Messages  int64
	Next      string // address of the next page
	Here      string // address of this page, without after
	Periods   []choice
	Shows     []choice
	Stages    []stage
	Ask       string // a source that may be the domain's own
	Chart     *chart
	Reporters []store.Reporter
	Others    *store.Reporter // all reporters but those, with their number in Reports
	Received  *inbox.Received // what could not be read
	Read      []readFile
	Failed    string // why an act was not done
}

// ReportDays is how many days the page Reports shows at first, MaxReportDays how many at most. SourceRows is how many
// sources a page has.
const (
	ReportDays    = 30
	MaxReportDays = 366
	SourceRows    = 50
)

// The sources of a period that are told apart: of more days fewer, so that what is read has a bound.
const (
	sourceDays    = 60_000 // sources of one day
	fewestSources = 200
	mostSources   = 2000
)

// The bounds of the head and the rail of the page, and how long it waits for the DNS.
const (
	mostDomains   = 200
	mostReporters = 3
	dnsPatience   = time.Second
	namePatience  = 500 * time.Millisecond // for what the DNS says about sources
)

// AskedReports is the question of the page Reports. The DNS is asked for a short time only.
func AskedReports(name domain.Name, days int, now time.Time, r resolver.Resolver) inbox.Asked {
	until := store.DayOf(store.Millis(now))
	return inbox.Asked{Domain: string(name), Since: until - store.Day(days-1), Until: until, MaxSources: min(max(sourceDays/days, fewestSources), mostSources),
		Resolver: r, Patience: namePatience, Networks: true}
}

var (
	sourceShows   = []choice{{inbox.ShowAll, "All"}, {inbox.ShowMend, "To fix"}, {inbox.ShowOthers, "Not yours"}}
	reportPeriods = []int{1, 7, 30, 90, 365}
)

// daysOf returns the period of a request.
func daysOf(r *http.Request) int {
	if n, err := strconv.Atoi(r.URL.Query().Get("days")); err == nil && n > 0 && n <= MaxReportDays {
		return n
	}
	return ReportDays
}

// showOf returns which sources a request shows.
func showOf(s string) string {
	if slices.Contains(inbox.Shows, s) {
		return s
	}
	return inbox.ShowAll
}

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

// reports answers for all domains: which ones are reports about? The form of the other pages leads to one.
func (u *ui) reports(rw http.ResponseWriter, r *http.Request) {
	if name, err := domain.Parse(r.URL.Query().Get("domain")); err == nil {
		http.Redirect(rw, r, reportsLink(string(name), showOf(r.URL.Query().Get("show")), daysOf(r)), http.StatusSeeOther)
		return
	}
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
	d := &reportsData{Days: daysOf(r), Show: showOf(r.URL.Query().Get("show")), Shows: sourceShows, Domain: string(name)}
	if err != nil {
		d.Words, d.State = "This is not a domain name.", &State{"failed", store.Clean(err.Error()), ""}
		u.show(rw, r, http.StatusBadRequest, "reports", "Reports", 0, d)
		return
	}
	in, state := u.inboxOf()
	if state != nil {
		d.Words, d.State = "Whether "+d.Domain+" may go to enforcement is not known.", state
		u.show(rw, r, http.StatusOK, "reports", d.Domain, 0, d)
		return
	}
	status := http.StatusOK
	if err := u.fillReports(r, in, name, d); err != nil {
		status = http.StatusServiceUnavailable
		d.Words, d.State = "Whether "+d.Domain+" may go to enforcement is not known.", failedState(r, err, "The reports cannot be read")
		if errors.Is(err, errCursor) {
			status, d.Words, d.State = http.StatusBadRequest, "This page of sources does not exist.", &State{"failed", "The source that it follows is not among those of this period.", "Open the first page."}
		}
	}
	u.show(rw, r, status, "reports", d.Domain, 0, d)
}

var errCursor = errors.New("not a cursor")

// fillReports reads what the page shows.
func (u *ui) fillReports(r *http.Request, in store.Inbox, name domain.Name, d *reportsData) error {
	ctx, q := r.Context(), AskedReports(name, d.Days, u.source.Now(), u.source.Resolver())
	for _, n := range reportPeriods {
		d.Periods = append(d.Periods, choice{strconv.Itoa(n), fmt.Sprintf("%s to %s", plural(n, "day", "days"), store.Time(q.Until.Start()).Format("2 Jan"))})
	}
	if !slices.Contains(reportPeriods, d.Days) {
		d.Periods = append(d.Periods, choice{strconv.Itoa(d.Days), fmt.Sprintf("%s to %s", plural(d.Days, "day", "days"), store.Time(q.Until.Start()).Format("2 Jan"))})
	}
	s, err := inbox.Summarize(ctx, in, q)
	if err == nil {
		err = s.AskPolicies(ctx, in)
	}
	if err != nil {
		return err
	}
	if d.Domains, err = in.InboundDomains(ctx); err != nil {
		return err
	}
	if !slices.Contains(d.Domains, d.Domain) {
		d.Domains = append([]string{d.Domain}, d.Domains...)
	}
	d.Domains = d.Domains[:min(len(d.Domains), mostDomains)]
	if d.Received, err = inbox.ListReceived(ctx, in, q, 0, 1); err != nil {
		return err
	}
	d.Named = store.Clean(strings.TrimSpace(r.URL.Query().Get("source")))
	shown := s.Named(d.Named)
	d.Count, d.Messages = shown.Count(d.Show)
	if d.Show == inbox.ShowAll && d.Named == "" {
		shown = shown.FoldForged()
	}
	if d.Sources, d.Next, err = shown.Page(d.Show, r.URL.Query().Get("after"), SourceRows); err != nil {
		return errCursor
	}
	d.Here = reportsLink(d.Domain, d.Show, d.Days)
	if d.Named != "" {
		d.Here += "&" + url.Values{"source": {d.Named}}.Encode()
	}
	if d.Next != "" {
		d.Next = d.Here + "&" + url.Values{"after": {d.Next}}.Encode()
	}
	asking, cancel := context.WithTimeout(ctx, dnsPatience)
	defer cancel()
	s.AskRecord(asking, u.source.Resolver())
	s.AskSPF(asking, u.source.Resolver(), d.Sources)
	d.describe(s)
	return nil
}

// reportsLink is the address of the page of a domain.
func reportsLink(name, show string, days int) string {
	v := url.Values{"days": {strconv.Itoa(days)}}
	if show != inbox.ShowAll {
		v.Set("show", show)
	}
	return "/reports/" + url.PathEscape(name) + "?" + v.Encode()
}

func (d *reportsData) describe(s *inbox.Summary) {
	d.Summary = s
	if len(s.Sources) == 0 {
		d.Words = "No report is about " + d.Domain + " in this period."
		d.State = &State{"empty", "Reports come a day after the mail.", "Look further back, or publish rua= in the DMARC record of " + d.Domain + "."}
		return
	}
	d.Words, d.Lead = readiness(s), leadOf(s, d.Days)
	d.Stages, d.Chart = stagesOf(s, d.Days), chartOf(s)
	for _, line := range s.Readiness[len(s.Readiness)-1].Arithmetic {
		if strings.HasSuffix(line, "?") {
			d.Ask = line
		}
	}
	shown := int64(0)
	for _, x := range d.Received.Reporters[:min(len(d.Received.Reporters), mostReporters)] {
		if x.Reports > 0 {
			d.Reporters, shown = append(d.Reporters, x.Reporter), shown+x.Messages
		}
	}
	if n := s.Reporters - len(d.Reporters); n > 0 {
		d.Others = &store.Reporter{Reports: int64(n), Messages: max(s.Total.Messages-shown, 0)}
	}
}

// readiness returns the answer of the page.
func readiness(s *inbox.Summary) string {
	ready := map[string]*inbox.Readiness{}
	for i := range s.Readiness {
		ready[s.Readiness[i].Policy] = &s.Readiness[i]
	}
	switch q, j := ready["quarantine"], ready["reject"]; {
	case j != nil && j.Ready:
		return s.Domain + " is ready for p=reject" + unless(s) + "."
	case j != nil && len(j.Blockers) == 1:
		return s.Domain + " is almost ready for p=reject: one thing is left."
	case q != nil && q.Ready:
		return s.Domain + " is ready for p=quarantine, and not yet for p=reject."
	case q != nil && len(q.Blockers) == 1:
		return s.Domain + " is almost ready for p=quarantine: one thing is left."
	}
	return s.Domain + " is not ready for enforcement."
}

// unless names the source that counts as forged and may be one that the owner forgot.
func unless(s *inbox.Summary) string {
	for i := range s.Sources {
		if x := &s.Sources[i]; x.Ask && x.Class == inbox.ClassForged {
			return ", unless " + x.Name + " is yours"
		}
	}
	return ""
}

// leadOf says what p=reject would refuse.
func leadOf(s *inbox.Summary, days int) string {
	var failing, asked int
	var lost, few, open int64
	for i := range s.Sources {
		switch x := &s.Sources[i]; {
		case x.Ours() && x.Todo != "" && x.Failing() > 0:
			failing, lost = failing+1, lost+x.Failing()
		case x.Ours():
			few += x.Failing()
		case x.Ask:
			asked, open = asked+1, open+x.Failing()
		}
	}
	lead := "No mail of a sender of yours fails."
	switch {
	case failing > 0:
		lead = fmt.Sprintf("%s of yours, %s in %s, would be rejected.", plural(failing, "sender", "senders"), plural(int(lost), "message", "messages"), plural(days, "day", "days"))
	case few > 0:
		lead = fmt.Sprintf("%s of your senders in %s would be rejected.", plural(int(few), "message", "messages"), plural(days, "day", "days"))
	}
	rest := s.Total.Failing() - lost - few
	switch {
	case rest > 0 && rest == open:
		lead += fmt.Sprintf(" The rest that fails is of %s that you have not judged.", senders(asked))
	case open > 0:
		lead += fmt.Sprintf(" The rest that fails is forwarded or forged, except for %s of %s that you have not judged.", plural(int(open), "message", "messages"), senders(asked))
	case rest > 0:
		lead += " The rest that fails is forwarded or forged."
	}
	return lead
}

func senders(n int) string {
	if n == 1 {
		return "a sender"
	}
	return number(n) + " senders"
}

func share(n, of int64) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f%%", float64(n)/float64(of)*100)
}

// wholeShare is a percentage without decimals that is 0 or 100 only if that is exact.
func wholeShare(n, of int64) string {
	switch p := percentOf(n, of); {
	case n > 0 && p < 1:
		return "<1%"
	case n < of && p > 99:
		return ">99%"
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// shareText is a share with its bar.
type shareText struct {
	Text    string
	Percent float64
}

func percentOf(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of) * 100
}

// judgementTone is the class of a judgement: only what needs a person has a color other than gray or green.
func judgementTone(x inbox.SourceSum) string {
	switch {
	case x.Ours() && x.Todo != "" && x.Failing() > 0, x.Ask, x.Class == inbox.ClassNew:
		return "warn"
	case x.Ours():
		return "ok"
	}
	return "none"
}

// todoWords say what is to do about a source.
func todoWords(x inbox.SourceSum) string {
	switch {
	case x.Todo != "":
		return x.Todo
	case x.Class == inbox.ClassForged && x.Quarantined+x.Rejected > 0:
		return "Nothing: " + wholeShare(x.Quarantined+x.Rejected, x.Messages) + " was quarantined or rejected."
	case x.Class == inbox.ClassList:
		return "Nothing: it changes or forwards mail."
	}
	return "Nothing."
}

// spfWords say whether the SPF record lists the address of a source.
func spfWords(result string) string {
	switch result {
	case "pass":
		return "in your SPF"
	case "fail", "softfail", "neutral":
		return "not in your SPF"
	}
	return ""
}
