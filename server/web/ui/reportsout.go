package ui

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/outbox"
	"postseal/store"
)

// outData is the data of the Reports out page.
type outData struct {
	State      *State
	Words      string
	Lead       string // the next run
	Show       string
	Shows      []choice
	Days       int
	Periods    []int
	Rows       []outRow
	Next       string // address of the next page
	Suppressed []suppressed
	More       int // suppressed targets that are not shown
	// Failures are the newest failure reports of the state, FailureWords what became of all and whether more are sent.
	Failures     []outbox.Item
	FailureWords string
	MoreFailures bool
	Failed       string
}

// suppressed is a target with the end of its suppression, zero for none yet.
type suppressed struct {
	store.Suppression
	Until time.Time
}

// outRow is one report with its deliveries.
type outRow struct {
	outbox.Item
	CanRetry bool // a delivery was sent or failed
}

// The page shows the reports of OutDays at first, and of MaxOutDays at most, that is how long they are kept.
const (
	OutDays    = 7
	MaxOutDays = 400

	shownSuppressed = 200
	shownFailures   = 50
)

var outShows = []choice{{"", "All"}, {store.OutWaiting, "Waiting"}, {store.OutSent, "Sent"}, {store.OutFailed, "Failed"}, {store.OutSuppressed, "Suppressed"}, {store.ReportNone, "Not sent"}}

// reportsOut answers: are our reports delivered, and to whom not?
func (u *ui) reportsOut(rw http.ResponseWriter, r *http.Request) {
	u.showOut(rw, r, http.StatusOK, "")
}

func (u *ui) showOut(rw http.ResponseWriter, r *http.Request, status int, failed string) {
	d := &outData{Failed: failed, Show: r.URL.Query().Get("state"), Shows: outShows, Days: OutDays, Periods: []int{7, 30, 90, MaxOutDays}, Words: "No report has been made."}
	if n, err := strconv.Atoi(r.URL.Query().Get("days")); err == nil && n > 0 && n <= MaxOutDays {
		d.Days = n
	}
	if !slices.ContainsFunc(outShows, func(c choice) bool { return c.Value == d.Show }) {
		d.Show = ""
	}
	db, why := u.source.Store()
	out, ok := db.(store.Outbox)
	switch {
	case db == nil:
		d.Words, d.State = "No reports are made.", &State{"off", why, "Reports are made from the history. " + historyLine}
	case !ok:
		d.Words, d.State = "No reports are made.", &State{"off", "This database keeps no reports.", ""}
	default:
		if err := u.fillOut(r, out, d); err != nil {
			d.Words, d.State = "Whether our reports are delivered is not known.", failedState(r, err, "The reports cannot be read")
		}
	}
	u.show(rw, r, status, "reportsout", "Reports out", 0, d)
}

func (u *ui) fillOut(r *http.Request, out store.Outbox, d *outData) error {
	f := store.ReportFilter{State: d.Show, Since: store.DayOf(store.Millis(u.source.Now())) - store.Day(d.Days), Limit: pageRows}
	var err error
	if f.AfterDay, f.AfterDomain, err = outbox.ParseCursor(r.URL.Query().Get("after")); err != nil {
		f.AfterDay, f.AfterDomain = 0, ""
	}
	list, next, err := outbox.Page(r.Context(), out, f)
	if err != nil {
		return err
	}
	for i := range list {
		d.Rows = append(d.Rows, outRow{list[i], slices.ContainsFunc(list[i].Deliveries, func(x outbox.Delivery) bool {
			return x.State == store.DeliverySent || x.State == store.DeliveryFailed || x.State == store.DeliveryExpired
		})})
	}
	if next != "" {
		d.Next = "/reports/out?" + url.Values{"state": {d.Show}, "days": {strconv.Itoa(d.Days)}, "after": {next}}.Encode()
	}
	counts, err := out.OutgoingCounts(r.Context(), f.Since)
	if err != nil {
		return err
	}
	if d.Show == "" || d.Show == store.OutSuppressed {
		if err := d.suppressions(r, out); err != nil {
			return err
		}
	}
	d.describe(u, &counts)
	return u.fillFailures(r, out, f.Since, d)
}

// fillFailures reads the reports about single messages: they have the same states.
func (u *ui) fillFailures(r *http.Request, out store.Outbox, since store.Day, d *outData) error {
	n, err := out.FailureCounts(r.Context(), since)
	if err != nil {
		return err
	}
	if reporting, err := u.source.Reporting(); err == nil { // else the page says nothing about what is on
		d.FailureWords = failureWords(&reporting, &n, d.Days)
	}
	if n == (store.OutgoingCounts{}) || d.Show == store.ReportNone {
		return nil
	}
	err = outbox.ListFailures(r.Context(), out, store.ReportFilter{State: d.Show, Since: since, Limit: shownFailures + 1}, func(x outbox.Item) error {
		d.Failures = append(d.Failures, x)
		return nil
	})
	if d.MoreFailures = len(d.Failures) > shownFailures; d.MoreFailures {
		d.Failures = d.Failures[:shownFailures]
	}
	if len(d.Failures) > 0 && d.State != nil && d.State.Kind == "empty" {
		d.State = nil // it would say that no report is here
	}
	return err
}

// failureWords count the failure reports, and say whether such reports are sent, and about what.
func failureWords(sending *Reporting, n *store.OutgoingCounts, days int) string {
	words := "No failure report in " + plural(days, "day", "days") + "."
	if *n != (store.OutgoingCounts{}) {
		words = fmt.Sprintf("%s waiting, %s sent, %s failed, %s suppressed in %s.", number(n.Waiting), number(n.Sent), number(n.Failed), number(n.Suppressed), plural(days, "day", "days"))
	}
	const most = 5
	switch of := sending.FailuresOf; {
	case len(of) == 0:
		words += " They are off: [report.failure] enabled = true and domains turn them on."
	case len(of) > most:
		words += fmt.Sprintf(" They are sent about %s and %s, if their policy asks for them.", strings.Join(of[:most], ", "), plural(len(of)-most, "other domain", "other domains"))
	default:
		words += " They are sent about " + strings.Join(of, ", ") + ", if their policy asks for them."
	}
	return words
}

// suppressions reads the targets that get no reports for a time.
func (d *outData) suppressions(r *http.Request, out store.Outbox) error {
	kept, err := out.Suppressions(r.Context())
	if err != nil {
		return err
	}
	for _, s := range kept[:min(len(kept), shownSuppressed)] {
		x := suppressed{Suppression: s}
		if s.Until != 0 {
			x.Until = store.Time(s.Until)
		}
		d.Suppressed = append(d.Suppressed, x)
	}
	d.More = len(kept) - len(d.Suppressed)
	return nil
}

// describe says what became of the reports, and when the next ones leave.
func (d *outData) describe(u *ui, n *store.OutgoingCounts) {
	reporting, err := u.source.Reporting()
	off := err == nil && !reporting.Sends
	switch {
	case off:
		d.Lead = "Nothing is sent: [report] from and dkim are not set. The preview shows what would be."
	case n.NextAt != 0:
		at := store.Time(max(n.NextAt, store.Millis(u.source.Now())))
		d.Lead = "Next run: " + at.Format("2 January 15:04") + " UTC."
	default:
		d.Lead = "Next run: the reports about today are made after midnight UTC"
		if reporting.Window != "" {
			d.Lead += ", and sent in " + reporting.Window
		}
		d.Lead += "."
	}
	if *n == (store.OutgoingCounts{}) {
		next := "Reports about a day are made after it ends. The preview shows what would be sent, and where to, before the first one leaves."
		if off {
			next = "Reports about a day are made after it ends, once [report] is set in the configuration: from = \"reports@mx.example.net\", and dkim. The preview shows what would be sent, and where to, before the first one leaves."
		}
		d.State = &State{"empty", "No report of this period is here.", next}
		return
	}
	d.Words = fmt.Sprintf("%s waiting, %s sent, %s failed, %s suppressed in %d days.", number(n.Waiting), number(n.Sent), number(n.Failed), number(n.Suppressed), d.Days)
	if len(d.Rows) == 0 && len(d.Suppressed) == 0 {
		d.State = &State{"empty", "No report of this kind is here.", "Choose another state, or look further back."}
	}
}

// outAct makes the deliveries of a report due again, or lifts a suppression.
func (u *ui) outAct(rw http.ResponseWriter, r *http.Request) {
	const longest = 4 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	db, why := u.source.Store()
	out, ok := db.(store.Outbox)
	if db == nil || !ok {
		u.showOut(rw, r, http.StatusServiceUnavailable, cmp.Or(why, "this database keeps no reports"))
		return
	}
	if err := u.actOut(r, out); err != nil {
		u.showOut(rw, r, http.StatusBadRequest, store.Clean(err.Error()))
		return
	}
	http.Redirect(rw, r, "/reports/out", http.StatusSeeOther)
}

func (u *ui) actOut(r *http.Request, out store.Outbox) error {
	switch r.PostFormValue("act") {
	case "retry":
		at, err := time.Parse(time.DateOnly, r.PostFormValue("day"))
		if err != nil {
			return errors.New("the day is not of the form 2026-11-29")
		}
		n, err := out.Resend(r.Context(), store.DayOf(store.Millis(at)), r.PostFormValue("domain"), store.Millis(u.source.Now()))
		if err == nil && n == 0 {
			err = errors.New("no delivery of this report was sent or failed")
		}
		return err
	case "lift":
		ok, err := out.Lift(r.Context(), r.PostFormValue("target"))
		if err == nil && !ok {
			err = errors.New("this target is not suppressed")
		}
		return err
	}
	return errors.New("act is not one of retry, lift")
}
