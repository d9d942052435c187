package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/app/outbox"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
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
		json("GET", "/v1/reports/out/preview", web.Reader, d.previewReports),
		json("GET", "/v1/reports/out/{day}/{domain}/destinations", web.Reader, d.reportDestinations),
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

// reportStates are those that GET /v1/reports/out selects.
var reportStates = []string{store.OutWaiting, store.OutSent, store.OutFailed, store.OutSuppressed, store.ReportBuilt, store.ReportSealed, store.ReportDone, store.ReportNone}

// reportsOut is GET /v1/reports/out?kind=&state=&days=&after=&limit=.
func (d *Daemon) reportsOut(r *http.Request) (any, error) {
	out, err := d.outbox()
	if err := errors.Join(known(r, "kind", "state", "days", "after", "limit"), err); err != nil {
		return nil, err
	}
	f, err := d.outFilter(r)
	if err != nil {
		return nil, err
	}
	list, next := []outbox.Item{}, ""
	switch kind := r.URL.Query().Get("kind"); kind {
	case "", outbox.KindAggregate:
		list, next, err = outbox.Page(r.Context(), out, f)
	case outbox.KindFailure:
		err = outbox.ListFailures(r.Context(), out, f, func(x outbox.Item) error {
			list = append(list, x)
			return nil
		})
	default:
		return nil, badRequest("kind is not one of %s, %s", outbox.KindAggregate, outbox.KindFailure)
	}
	return struct {
		Schema  string        `json:"schema"`
		Reports []outbox.Item `json:"reports"`
		Next    string        `json:"next"`
	}{"postseal.reports-out/1", list, next}, err
}

// outFilter reads which of our reports a request selects.
func (d *Daemon) outFilter(r *http.Request) (f store.ReportFilter, err error) {
	const most = 1000
	v := r.URL.Query()
	f = store.ReportFilter{State: v.Get("state"), Limit: most}
	if f.State != "" && !slices.Contains(reportStates, f.State) {
		return f, badRequest("state is not one of %s", strings.Join(reportStates, ", "))
	}
	if s := v.Get("days"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > ui.MaxOutDays {
			return f, badRequest("days is not a number from 1 to %d", ui.MaxOutDays)
		}
		f.Since = store.DayOf(store.Millis(d.history.now())) - store.Day(n)
	}
	if s := v.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 1 || f.Limit > most {
			return f, badRequest("limit is not a number from 1 to %d", most)
		}
	}
	if f.AfterDay, f.AfterDomain, err = outbox.ParseCursor(v.Get("after")); err != nil {
		return f, badRequest("after: %v", err)
	}
	return f, nil
}

// previewer returns what makes reports to look at, without the key that signs them.
func (d *Daemon) previewer() (ui.Reporting, error) {
	db, names := d.history.reader(), d.resolver()
	if db == nil {
		return ui.Reporting{}, d.history.noHistory()
	}
	if names == nil {
		return ui.Reporting{}, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "no name server is known yet"}
	}
	c := *d.engine.Current().Config
	x := ui.Reporting{Sends: c.Report.Sends(), Window: string(c.Report.Window)}
	if c.Report.Failure.Enabled {
		for _, name := range c.Report.Failure.Domains {
			x.FailuresOf = append(x.FailuresOf, string(name))
		}
	}
	c.Report.DKIM.KeyFile = ""
	var err error
	x.Sender, err = outbox.FromConfig(&c, outbox.Parts{DB: db, Resolver: names, Now: d.history.now, Version: d.options.Version})
	return x, err
}

// previewReports is GET /v1/reports/out/preview?day=&after=: whom the reports about a day go to, before they are made.
func (d *Daemon) previewReports(r *http.Request) (any, error) {
	const most = 50
	if err := known(r, "day", "after"); err != nil {
		return nil, err
	}
	x, err := d.previewer()
	if err != nil {
		return nil, err
	}
	day, err := ui.PreviewDay(r.URL.Query().Get("day"), d.history.now())
	if err != nil {
		return nil, badRequest("%v", err)
	}
	list, more, all, err := x.Sender.Plan(r.Context(), day, r.URL.Query().Get("after"), most)
	next := ""
	if more {
		next = list[len(list)-1].Domain
	}
	return struct {
		Schema  string           `json:"schema"`
		Day     string           `json:"day"`
		Domains int              `json:"domains"`
		Sends   bool             `json:"sends"`
		Reports []outbox.Planned `json:"reports"`
		Next    string           `json:"next"`
	}{"postseal.reports-preview/1", day.String(), all, x.Sends, list, next}, err
}

// reportDestinations is GET /v1/reports/out/{day}/{domain}/destinations: where the report goes, or would go now.
func (d *Daemon) reportDestinations(r *http.Request) (any, error) {
	day, name, wrong := reportOf(r)
	if err := errors.Join(known(r), wrong); err != nil {
		return nil, err
	}
	x, err := d.previewer()
	if err != nil {
		return nil, err
	}
	p, _, ok, err := x.Sender.PreviewOne(r.Context(), day, name)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, notFound("no mail of this day asks for a report about this domain")
	}
	return outbox.ItemOf(&p.Outgoing, p.To), nil
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

// reportText is GET /v1/reports/out/{day}/{domain}: the XML as it is sent, also before it is made.
func (d *Daemon) reportText(rw http.ResponseWriter, r *http.Request) error {
	const most = 256 << 20
	day, name, wrong := reportOf(r)
	if err := errors.Join(known(r), wrong); err != nil {
		return err
	}
	maker, err := d.previewer()
	if err != nil {
		return err
	}
	x, ok, err := maker.Sender.One(r.Context(), day, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return notFound("there is no report about this domain and day")
	case x.State == store.ReportNone:
		return notFound("there is no report about this domain and day: " + x.Why)
	case len(x.Body) == 0:
		return notFound("the text of this report is no longer kept")
	}
	body := x.Body
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", "application/xml")
	rw.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", x.Domain+"-"+x.Day.String()+".xml"))
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

// Reporting implements ui.Source.
func (c console) Reporting() (ui.Reporting, error) { return c.d.previewer() }
