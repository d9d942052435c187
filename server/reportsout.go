package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"postseal/domain"
	"postseal/internal/app/outbox"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/store"
)

// reportsOutRoutes are our own reports over HTTP: their list and text, another attempt, and the
// suppressed addresses.
func (d *Daemon) reportsOutRoutes() []web.Route {
	json := func(method, path string, access web.Access, content func(*http.Request) (any, error)) web.Route {
		return web.Route{Method: method, Path: path, Access: access, Handler: web.JSON(d.engine, content)}
	}
	return []web.Route{
		json("GET", "/v1/reports/out", web.Reader, d.reportsOut),
		{Method: "GET", Path: "/v1/reports/out/{day}/{domain}", Access: web.Reader, Handler: web.Stream(d.engine, d.reportText)},
		json("POST", "/v1/reports/out/{day}/{domain}/retry", web.Admin, d.retryReport),
		json("GET", "/v1/suppressions", web.Reader, d.suppressions),
		json("DELETE", "/v1/suppressions/{target}", web.Admin, d.liftSuppression),
	}
}

// outbox returns the database of our reports.
func (d *Daemon) outbox() (store.Outbox, error) {
	db := d.history.reader()
	if db == nil {
		return nil, d.history.noHistory()
	}
	out, ok := db.(store.Outbox)
	if !ok {
		return nil, notFound("this database keeps no reports")
	}
	return out, nil
}

// reportsOut is GET /v1/reports/out?state=.
func (d *Daemon) reportsOut(r *http.Request) (any, error) {
	const most = 1000
	out, err := d.outbox()
	if err := errors.Join(known(r, "state"), err); err != nil {
		return nil, err
	}
	state := r.URL.Query().Get("state")
	if !slices.Contains([]string{"", store.ReportBuilt, store.ReportSealed, store.ReportDone, store.ReportNone}, state) {
		return nil, badRequest("state is not one of %s, %s, %s, %s", store.ReportBuilt, store.ReportSealed, store.ReportDone, store.ReportNone)
	}
	list := []outbox.Item{}
	err = outbox.List(r.Context(), out, store.ReportFilter{State: state, Limit: most}, func(x outbox.Item) error {
		list = append(list, x)
		return nil
	})
	return struct {
		Schema  string        `json:"schema"`
		Reports []outbox.Item `json:"reports"`
	}{"postseal.reports-out/1", list}, err
}

// reportOf reads the day and the domain in the path.
func reportOf(r *http.Request) (store.Day, string, error) {
	at, err := time.Parse(time.DateOnly, r.PathValue("day"))
	if err != nil {
		return 0, "", badRequest("the day is not of the form 2026-11-29")
	}
	name, err := domain.Parse(r.PathValue("domain"))
	if err != nil {
		return 0, "", badRequest("%v", err)
	}
	return store.DayOf(store.Millis(at)), string(name), nil
}

// reportText is GET /v1/reports/out/{day}/{domain}: the XML as it is sent, also before it is.
func (d *Daemon) reportText(rw http.ResponseWriter, r *http.Request) error {
	const most = 256 << 20
	out, err := d.outbox()
	day, name, wrong := reportOf(r)
	if err := errors.Join(known(r), wrong, err); err != nil {
		return err
	}
	x, body, ok, err := outbox.Find(r.Context(), out, day, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return notFound("there is no report about this domain and day")
	case len(body) == 0:
		return notFound("the text of this report is no longer kept")
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", "application/xml")
	rw.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", x.Domain+"-"+x.Day+".xml"))
	if _, err := io.Copy(rw, io.LimitReader(z, most)); err != nil {
		d.log.Warn("a report was not sent to a browser completely", "error", listener.Text(err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// retryReport is POST /v1/reports/out/{day}/{domain}/retry: deliveries that were sent or failed are due
// again, with the same text.
func (d *Daemon) retryReport(r *http.Request) (any, error) {
	out, err := d.outbox()
	day, name, wrong := reportOf(r)
	if err := errors.Join(known(r), wrong, err); err != nil {
		return nil, err
	}
	n, err := out.Resend(r.Context(), day, name, store.Millis(d.history.now()))
	if err == nil && n == 0 {
		err = &web.Refusal{Status: http.StatusConflict, Detail: "no delivery of this report was sent or failed"}
	}
	return map[string]int64{"due": n}, err
}

// suppressions is GET /v1/suppressions.
func (d *Daemon) suppressions(r *http.Request) (any, error) {
	out, err := d.outbox()
	if err := errors.Join(known(r), err); err != nil {
		return nil, err
	}
	type shown struct {
		store.Suppression
		Until *time.Time `json:"until"` // null: after the next failure
	}
	all, err := out.Suppressions(r.Context())
	list := []shown{}
	for _, s := range all {
		x := shown{Suppression: s}
		if s.Until != 0 {
			until := store.Time(s.Until)
			x.Until = &until
		}
		list = append(list, x)
	}
	return struct {
		Schema string  `json:"schema"`
		List   []shown `json:"suppressions"`
	}{"postseal.suppressions/1", list}, err
}

// liftSuppression is DELETE /v1/suppressions/{target}.
func (d *Daemon) liftSuppression(r *http.Request) (any, error) {
	out, err := d.outbox()
	if err := errors.Join(known(r), err); err != nil {
		return nil, err
	}
	ok, err := out.Lift(r.Context(), r.PathValue("target"))
	if err == nil && !ok {
		err = notFound("this target is not suppressed")
	}
	return map[string]string{"lifted": r.PathValue("target")}, err
}
