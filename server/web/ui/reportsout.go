package ui

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postseal/store"
)

// outData is the data of the Reports out page.
type outData struct {
	State *State
	Words string
	Show  string
	Shows []string
	Rows  []outRow
	// Suppressed are the targets that get no reports for a time.
	Suppressed []suppressed
	Failed     string // what could not be done
}

// suppressed is a target with the end of its suppression, zero for none yet.
type suppressed struct {
	store.Suppression
	Until time.Time
}

// outRow is one report with its deliveries.
type outRow struct {
	store.Outgoing
	To       []store.Delivery
	CanRetry bool // a delivery was sent or failed
}

const outRows = 200

// reportsOut answers: are our reports delivered, and to whom not?
func (u *ui) reportsOut(rw http.ResponseWriter, r *http.Request) {
	u.showOut(rw, r, http.StatusOK, "")
}

func (u *ui) showOut(rw http.ResponseWriter, r *http.Request, status int, failed string) {
	d := &outData{Failed: failed, Show: r.URL.Query().Get("state"), Shows: []string{"", store.ReportBuilt, store.ReportSealed, store.ReportDone, store.ReportNone}, Words: "No report has been made."}
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
	list, err := out.Outgoing(r.Context(), store.ReportFilter{State: d.Show, Limit: outRows})
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for i := range list {
		to, err := out.Deliveries(r.Context(), list[i].Day, list[i].Domain)
		if err != nil {
			return err
		}
		for k := range to {
			counts[to[k].State]++
		}
		d.Rows = append(d.Rows, outRow{list[i], to, slices.ContainsFunc(to, func(x store.Delivery) bool {
			return x.State == store.DeliverySent || x.State == store.DeliveryFailed || x.State == store.DeliveryExpired
		})})
	}
	kept, err := out.Suppressions(r.Context())
	if err != nil {
		return err
	}
	for _, s := range kept {
		x := suppressed{Suppression: s}
		if s.Until != 0 {
			x.Until = store.Time(s.Until)
		}
		d.Suppressed = append(d.Suppressed, x)
	}
	if len(list) == 0 {
		d.State = &State{"empty", "No report is here.", "Reports about a day are made after it ends, once [report] is set in the configuration: from = \"reports@mx.example.net\", and dkim."}
		return nil
	}
	failed := counts[store.DeliveryFailed] + counts[store.DeliveryExpired]
	parts := []string{fmt.Sprintf("%d waiting", counts[store.DeliveryDue]+counts[store.DeliverySending]), fmt.Sprintf("%d sent", counts[store.DeliverySent]), fmt.Sprintf("%d failed", failed), fmt.Sprintf("%d refused", counts[store.DeliveryRefused])}
	d.Words = strings.Join(parts, ", ") + "."
	return nil
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
