package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

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
}

const (
	reportDays    = 30
	maxReportDays = 366
)

var sourceShows = []choice{{"all", "All"}, {"mend", "To fix"}, {"others", "Not yours"}}

// inboxOf returns the reports of others, or why there are none to show.
func (u *ui) inboxOf() (store.Inbox, *State) {
	db, why := u.source.Store()
	if db == nil {
		return nil, &State{"off", why, "Reports of others are kept in the history."}
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
		d.Words, d.State = "Reports of others", state
		u.show(rw, r, http.StatusOK, "reports", "Reports", 0, d)
		return
	}
	names, err := in.InboundDomains(r.Context())
	switch {
	case err != nil:
		d.Words, d.State = "Reports of others", failedState(r, err, "The reports cannot be read")
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
	d := &reportsData{Days: reportDays, Show: cmp.Or(r.URL.Query().Get("show"), "all"), Periods: []int{7, 30, 90}, Shows: sourceShows, Domain: string(name)}
	if err != nil {
		d.Words, d.State = "This is not a domain name.", &State{"failed", store.Clean(err.Error()), ""}
		u.show(rw, r, http.StatusBadRequest, "reports", "Reports", 0, d)
		return
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("days")); err == nil && n > 0 && n <= maxReportDays {
		d.Days = n
	}
	in, state := u.inboxOf()
	if state != nil {
		d.Words, d.State = d.Domain, state
		u.show(rw, r, http.StatusOK, "reports", d.Domain, 0, d)
		return
	}
	until := store.DayOf(store.Millis(u.source.Now()))
	s, err := inbox.Summarize(r.Context(), in, inbox.Asked{Domain: d.Domain, Since: until - store.Day(d.Days-1), Until: until})
	if err != nil {
		d.Words, d.State = d.Domain, failedState(r, err, "The reports cannot be read")
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
	for i := range s.Sources {
		if x := &s.Sources[i]; d.Show == "all" || d.Show == "mend" && toFix(x) || d.Show == "others" && !ours(x) {
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
	lead = fmt.Sprintf("%s messages in %d reports of %d receivers, %s pass DMARC. The policy is p=%s.", number(s.Total.Messages), s.Reports, s.Reporters, share(s.Total.DMARC, s.Total.Messages), cmp.Or(s.Policy, "none"))
	switch q, j := ready["quarantine"], ready["reject"]; {
	case j != nil && j.Ready:
		return s.Domain + " is ready for p=reject.", lead
	case q != nil && q.Ready:
		return s.Domain + " is ready for p=quarantine, and not yet for p=reject.", lead
	}
	return s.Domain + " is not ready for enforcement.", lead
}

func share(n, of int64) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f%%", float64(n)/float64(of)*100)
}

// ours reports whether a source sends for the domain.
func ours(x *inbox.SourceSum) bool { return x.Class == inbox.ClassKnown || x.Class == inbox.ClassNew }

func toFix(x *inbox.SourceSum) bool { return ours(x) && x.Failing() > 0 }
