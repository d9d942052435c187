package ui

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/app/outbox"
	"postseal/store"
)

// previewPage is the data of the preview of a day.
type previewPage struct {
	State   *State
	Words   string
	Lead    string
	Day     string
	Reports []outbox.Planned
	Next    string // address of the next page
	JSON    string
}

// PreviewDay reads the day of a preview: yesterday unless it is named. A day that has not begun has no mail.
func PreviewDay(text string, now time.Time) (store.Day, error) {
	today := store.DayOf(store.Millis(now))
	if text == "" {
		return today - 1, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, errors.New("the day is not of the form 2026-11-29")
	}
	if day := store.DayOf(store.Millis(at)); day <= today {
		return day, nil
	}
	return 0, errors.New("the day has not begun")
}

// reportsPreview answers: whom do our reports about a day go to?
func (u *ui) reportsPreview(rw http.ResponseWriter, r *http.Request) {
	d := &previewPage{Words: "What would be reported is not known."}
	status := http.StatusOK
	db, why := u.source.Store()
	day, wrong := PreviewDay(r.URL.Query().Get("day"), u.source.Now())
	switch {
	case db == nil:
		d.Words, d.State = "No reports are made.", &State{"off", why, "Reports are made from the history. " + historyLine}
	case wrong != nil:
		status, d.State = http.StatusBadRequest, &State{"failed", sentence(wrong.Error()), "Choose a day."}
	default:
		d.Day = day.String()
		if err := u.fillPreview(r, day, d); err != nil {
			status, d.State = http.StatusServiceUnavailable, failedState(r, err, "The mail of that day cannot be read")
		}
	}
	u.show(rw, r, status, "reportspreview", "Preview", 0, d)
}

func (u *ui) fillPreview(r *http.Request, day store.Day, d *previewPage) error {
	reporting, err := u.source.Reporting()
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("after")
	list, more, all, err := reporting.Sender.Plan(r.Context(), day, after, pageRows)
	if err != nil {
		return err
	}
	d.Reports, d.JSON = list, "/v1/reports/out/preview?day="+d.Day
	if more {
		d.Next = "/reports/out/preview?" + url.Values{"day": {d.Day}, "after": {list[len(list)-1].Domain}}.Encode()
	}
	d.Words = fmt.Sprintf("Mail of %s of %s asks for a report.", plural(all, "domain", "domains"), dateOf(d.Day).Format("2 January"))
	d.Lead = "Each is sent once, after the day ends. Nothing is sent from here."
	if !reporting.Sends {
		d.Lead = "Nothing is sent until [report] from and dkim are set. This is what would be."
	}
	if all == 0 {
		d.Words = "No mail of " + dateOf(d.Day).Format("2 January") + " asks for a report."
		d.State = &State{"empty", "A report is made about mail whose author domain names an address in rua=.", "Choose another day."}
	}
	return nil
}

// outPage is the data of the page of one of our reports.
type outPage struct {
	State  *State
	Words  string
	Lead   string
	Report *store.Outgoing
	To     []outbox.Delivery
	Why    string
	XML    string
	Cut    bool   // XML is the beginning
	Link   string // address of the whole XML
	JSON   string
}

// reportOut answers: what does our report about a domain and a day say, and where does it go?
func (u *ui) reportOut(rw http.ResponseWriter, r *http.Request) {
	d := &outPage{Words: "What this report says is not known."}
	status := http.StatusOK
	db, why := u.source.Store()
	name, err := domain.Parse(r.PathValue("domain"))
	day, wrong := PreviewDay(r.PathValue("day"), u.source.Now())
	switch {
	case err != nil || wrong != nil:
		status, d.Words, d.State = http.StatusBadRequest, "There is no such report.", &State{"failed", sentence(store.Clean(cmp.Or(err, wrong).Error())), "Open Reports out."}
	case db == nil:
		d.Words, d.State = "No reports are made.", &State{"off", why, "Reports are made from the history. " + historyLine}
	default:
		found, err := u.fillOutPage(r, day, string(name), d)
		switch {
		case err != nil:
			status, d.State = http.StatusServiceUnavailable, failedState(r, err, "The report cannot be read")
		case !found:
			status, d.Words = http.StatusNotFound, "There is no such report."
			d.State = &State{"empty", fmt.Sprintf("No mail of %s asks for a report about %s.", day, name), "The preview lists the domains of a day."}
		}
	}
	u.show(rw, r, status, "reportout", "Report", 0, d)
}

func (u *ui) fillOutPage(r *http.Request, day store.Day, name string, d *outPage) (found bool, err error) {
	reporting, err := u.source.Reporting()
	if err != nil {
		return false, err
	}
	p, made, ok, err := reporting.Sender.PreviewOne(r.Context(), day, name)
	if err != nil || !ok {
		return ok, err
	}
	d.Report, d.Why = &p.Outgoing, p.Why
	d.To = outbox.ItemOf(&p.Outgoing, p.To).Deliveries
	date := dateOf(day.String()).Format("2 January 2006")
	what := fmt.Sprintf("The report about %s on %s, %s,", name, date, plural(int(p.Messages), "message", "messages"))
	switch {
	case p.Why != "":
		d.Words = fmt.Sprintf("No report about %s on %s is sent: %s.", name, date, p.Why)
	case !made:
		d.Words, d.Lead = what+" would be this one.", "It is not made yet: mail that comes until the day is closed counts too."
	case p.State == store.ReportBuilt:
		d.Words, d.Lead = what+" waits.", "Whether the domain still wants it, and where it goes, is asked again before it is sent."
	case p.State == store.ReportSealed:
		d.Words = what + " is being sent."
	default:
		d.Words = what + " is done."
	}
	d.Link = fmt.Sprintf("/v1/reports/out/%s/%s", day, url.PathEscape(name))
	d.JSON = d.Link + "/destinations"
	d.XML, d.Cut, err = beginning(p.Body)
	return true, err
}

// beginning unpacks the first part of a report. A report that is not kept has none.
func beginning(body []byte) (text string, cut bool, err error) {
	const most = 64 << 10
	if len(body) == 0 {
		return "", false, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return "", false, err
	}
	part, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return "", false, err
	}
	if cut = len(part) > most; cut {
		part = part[:most]
	}
	return strings.ToValidUTF8(string(part), ""), cut, nil
}
