package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"postseal/domain"
	"postseal/internal/app/history"
	"postseal/internal/app/inbox"
	"postseal/store"
)

// sourcePage is the data of the page of one source of a domain.
type sourcePage struct {
	State  *State
	Words  string
	Domain string
	Days   int
	Back   string // address of the page of the domain
	Detail *inbox.Detail
	Source *inbox.SourceSum
	Chart  *chart
}

// reportsSource answers: what did this source send in the name of the domain, and what is to do about it?
func (u *ui) reportsSource(rw http.ResponseWriter, r *http.Request) {
	name, err := domain.Parse(r.PathValue("domain"))
	d := &sourcePage{Domain: string(name), Days: daysOf(r), Back: reportsLink(string(name), inbox.ShowAll, daysOf(r)), Words: "What this source sent is not known."}
	in, state := u.inboxOf()
	status := http.StatusOK
	switch {
	case err != nil:
		status, d.Words, d.State = http.StatusBadRequest, "This is not a domain name.", &State{"failed", store.Clean(err.Error()), ""}
	case state != nil:
		d.State = state
	default:
		err := u.fillSource(r, in, name, d)
		switch {
		case errors.Is(err, inbox.ErrNoSource):
			status, d.Words = http.StatusNotFound, "No report names this source."
			d.State = &State{"empty", fmt.Sprintf("Reports of the last %s about %s do not name it.", plural(d.Days, "day", "days"), d.Domain), "Look further back, or open the list of sources."}
		case err != nil:
			status, d.State = http.StatusServiceUnavailable, failedState(r, err, "The reports cannot be read")
		}
	}
	u.show(rw, r, status, "reportsource", d.Domain, 0, d)
}

// sourceLink is the address of the page of a source.
func sourceLink(name, key string, days int) string {
	return fmt.Sprintf("/reports/%s/%s?days=%d", url.PathEscape(name), url.PathEscape(key), days)
}

func (u *ui) fillSource(r *http.Request, in store.Inbox, name domain.Name, d *sourcePage) error {
	detail, err := inbox.Describe(r.Context(), in, AskedReports(name, d.Days, u.source.Now(), u.source.Resolver()), r.PathValue("key"))
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(r.Context(), dnsPatience)
	defer cancel()
	detail.AskWho(asking, u.source.Resolver())
	d.Detail, d.Source = detail, &detail.Source
	x := d.Source
	who := x.Name
	if x.Folded > 0 {
		who = "Other networks"
	}
	d.Words = fmt.Sprintf("%s sent %s as %s: %s.", who, plural(int(x.Messages), "message", "messages"), d.Domain, x.Judgement)
	days := inbox.Summary{}
	for _, day := range detail.ByDay {
		sum := inbox.DaySum{Day: day.Day, Aligned: day.DMARC}
		if x.Ours() {
			sum.Failing = day.Failing()
		} else {
			sum.Others = day.Failing()
		}
		days.ByDay = append(days.ByDay, sum)
	}
	d.Chart = chartOf(&days)
	return nil
}

// whoWords say whose a source is, as far as the evidence tells.
func whoWords(w *inbox.Who) string {
	var of string
	switch {
	case w.Confirmed:
		of = fmt.Sprintf("Its address is %s, which is of %s.", w.Name, w.Organization)
	case w.Name != "":
		of = "Its address says it is " + w.Name + ", but that name does not have the address: anyone can claim it."
	default:
		of = "Its address does not tell: " + w.Why + "."
	}
	switch {
	case w.SPF == "pass":
		of += " Your SPF record lists it."
	case w.SPF != "" && spfWords(w.SPF) != "":
		of += " Your SPF record does not list it."
	}
	if len(w.MailFrom) > 0 {
		of += " Its MAIL FROM is " + w.MailFrom[0].Domain + "."
	}
	return of
}

// receivedPage is the data of the page of what came in about a domain.
type receivedPage struct {
	State  *State
	Words  string
	Lead   string
	Domain string
	Days   int
	Back   string
	List   *inbox.Received
	Next   string // address of the next page
}

// reportsReceived answers: which receivers report about the domain, and what could not be read?
func (u *ui) reportsReceived(rw http.ResponseWriter, r *http.Request) {
	name, err := domain.Parse(r.PathValue("domain"))
	d := &receivedPage{Domain: string(name), Days: daysOf(r), Back: reportsLink(string(name), inbox.ShowAll, daysOf(r)), Words: "Which reports came in is not known."}
	in, state := u.inboxOf()
	status := http.StatusOK
	before, wrong := history.ParseCursor(r.URL.Query().Get("after"))
	switch {
	case err != nil:
		status, d.Words, d.State = http.StatusBadRequest, "This is not a domain name.", &State{"failed", store.Clean(err.Error()), ""}
	case wrong != nil:
		status, d.Words, d.State = http.StatusBadRequest, "This page of reports does not exist.", &State{"failed", store.Clean(wrong.Error()), "Open the first page."}
	case state != nil:
		d.State = state
	default:
		d.List, err = inbox.ListReceived(r.Context(), in, AskedReports(name, d.Days, u.source.Now(), u.source.Resolver()), before, pageRows)
		if err != nil {
			status, d.List, d.State = http.StatusServiceUnavailable, nil, failedState(r, err, "The reports cannot be read")
			break
		}
		d.describe()
	}
	u.show(rw, r, status, "reportsreceived", d.Domain, 0, d)
}

func (d *receivedPage) describe() {
	x := d.List
	reports, reporters := int64(0), 0
	for _, r := range x.Reporters {
		if r.Reports > 0 {
			reports, reporters = reports+r.Reports, reporters+1
		}
	}
	d.Words = fmt.Sprintf("%s of %s came in about %s in %s.", plural(int(reports), "report", "reports"), plural(reporters, "reporter", "reporters"), d.Domain, plural(d.Days, "day", "days"))
	d.Lead = fmt.Sprintf("Could not be read: %d. Read before, and counted once: %d.", x.Unread, x.Twice)
	if len(x.Reports) == 0 && len(x.Problems) == 0 {
		d.State = &State{"empty", "No report of this period is about " + d.Domain + ".", "Look further back, or publish rua= in the DMARC record of " + d.Domain + "."}
	}
	if x.Next != "" {
		d.Next = fmt.Sprintf("/reports/%s/received?%s", url.PathEscape(d.Domain), url.Values{"days": {strconv.Itoa(d.Days)}, "after": {x.Next}}.Encode())
	}
}

// onePage is the data of the page of one received report.
type onePage struct {
	State  *State
	Words  string
	Report *inbox.One
	Next   string // address of the next page
	JSON   string
}

// report answers: what does this report say, exactly?
func (u *ui) report(rw http.ResponseWriter, r *http.Request) {
	d := &onePage{Words: "What this report says is not known."}
	in, state := u.inboxOf()
	status := http.StatusOK
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	after, wrong := history.ParseCursor(r.URL.Query().Get("after"))
	switch {
	case state != nil:
		d.State = state
	case err != nil || id < 1:
		status, d.Words, d.State = http.StatusNotFound, "There is no such report.", &State{"empty", "A report has a number, as in /report/12.", "Open the reports of a domain from Reports in."}
	case wrong != nil:
		status, d.Words, d.State = http.StatusBadRequest, "This page of records does not exist.", &State{"failed", store.Clean(wrong.Error()), "Open the first page."}
	default:
		d.Report, err = inbox.FindReceived(r.Context(), in, id, after, pageRows)
		switch {
		case errors.Is(err, inbox.ErrNoReport):
			status, d.Words, d.State = http.StatusNotFound, "There is no such report.", &State{"empty", sentence(err.Error()), "Open the reports of a domain from Reports in."}
		case err != nil:
			status, d.Report, d.State = http.StatusServiceUnavailable, nil, failedState(r, err, "The report cannot be read")
		default:
			d.describe(id)
		}
	}
	u.show(rw, r, status, "report", "Report", 0, d)
}

func (d *onePage) describe(id int64) {
	x := &d.Report.Report
	kind := map[string]string{"aggregate": "messages", "tls": "TLS sessions", "failure": "failures"}[x.Kind]
	d.Words = fmt.Sprintf("%s reports %s %s about %s, %s.", x.Org, number(x.Messages), kind, x.Domain, x.Begin.Format("2 January 2006"))
	d.JSON = "/v1/reports/in/" + strconv.FormatInt(id, 10)
	if d.Report.Next > 0 {
		d.Next = fmt.Sprintf("/report/%d?%s", id, url.Values{"after": {history.Cursor(d.Report.Next)}}.Encode())
	}
}
