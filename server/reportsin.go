package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/app/history"
	"postseal/internal/app/inbox"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// reportsInRoutes are the reports of others over HTTP: reading them, what they mean for a domain, and what the
// operator says about a source.
func (d *Daemon) reportsInRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodPost, Path: "/v1/reports/in", Access: web.Admin, Handler: d.reportsIn},
		{Method: http.MethodGet, Path: "/v1/reports/in", Access: web.Reader, Handler: web.JSON(d.engine, d.reportSummary)},
		{Method: http.MethodGet, Path: "/v1/reports/in/received", Access: web.Reader, Handler: web.JSON(d.engine, d.reportsReceived)},
		{Method: http.MethodGet, Path: "/v1/reports/in/{id}", Access: web.Reader, Handler: web.Stream(d.engine, d.receivedReport)},
		{Method: http.MethodGet, Path: "/v1/reports/in/{domain}/source", Access: web.Reader, Handler: web.JSON(d.engine, d.sourceDetail)},
		{Method: http.MethodPut, Path: "/v1/reports/in/{domain}/source", Access: web.Admin, Handler: web.JSON(d.engine, d.chooseSource)},
	}
}

// reportsIn reads the reports of a body: a report, an archive or a mail.
func (d *Daemon) reportsIn(rw http.ResponseWriter, r *http.Request) {
	web.JSON(d.engine, func(r *http.Request) (any, error) {
		found, err := d.readReports(r.Context(), "request", http.MaxBytesReader(rw, r.Body, d.reportsMost()))
		if err != nil {
			return nil, err
		}
		return readResult(found)
	})(rw, r)
}

// reportsMost bounds the octets of a request with reports.
func (d *Daemon) reportsMost() int64 { return int64(d.engine.Current().Config.Limits.HTTPMessage) }

// readReports reads what a body or a file of a form holds. Errors are of the store, or a *web.Refusal.
func (d *Daemon) readReports(ctx context.Context, name string, in io.Reader) ([]ui.ReportIn, error) {
	db := d.history.reader()
	if db == nil {
		return nil, d.history.noHistory()
	}
	found, err := inbox.Read(ctx, db, d.history.now, inbox.Carrier{}, name, in)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &web.Refusal{Status: http.StatusRequestEntityTooLarge, Detail: "the body is larger than [limits] http_message"}
	case err != nil:
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "the report could not be kept: " + listener.Text(err)}
	}
	list := []ui.ReportIn{}
	for _, f := range found {
		x := ui.ReportIn{Result: f.Result, Why: f.Why, Kind: f.Kind, Org: f.Org, Domain: f.Domain, ReportID: f.ReportID, Messages: f.Messages, Warnings: []string{}}
		for _, w := range f.Warnings {
			x.Warnings = append(x.Warnings, w.String())
		}
		list = append(list, x)
	}
	return list, nil
}

// readResult is the answer: 422 if there is nothing but refused reports, or none at all.
func readResult(found []ui.ReportIn) (any, error) {
	for _, f := range found {
		if f.Result != "refused" {
			return struct {
				Schema  string        `json:"schema"`
				Reports []ui.ReportIn `json:"reports"`
			}{"postseal.reports-in/1", found}, nil
		}
	}
	why := "there is no report in it"
	if len(found) > 0 {
		why = "refused: " + found[0].Why
	}
	return nil, &web.Refusal{Status: http.StatusUnprocessableEntity, Detail: why}
}

// mostSources is how many sources GET /v1/reports/in answers with, if limit does not say.
const mostSources = 1000

// reportSummary is GET /v1/reports/in?domain=&days=&show=&source=&after=&limit=: the data of the page Reports.
func (d *Daemon) reportSummary(r *http.Request) (any, error) {
	db, q, err := d.askedReports(r, r.URL.Query().Get("domain"), "domain", "days", "show", "source", "after", "limit")
	if err != nil {
		return nil, err
	}
	show, limit := r.URL.Query().Get("show"), mostSources
	if show != "" && !slices.Contains(inbox.Shows, show) {
		return nil, badRequest("show is not one of %s", strings.Join(inbox.Shows, ", "))
	}
	if s := r.URL.Query().Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > mostSources {
			return nil, badRequest("limit is not a number from 1 to %d", mostSources)
		}
	}
	s, err := inbox.Summarize(r.Context(), db, q)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Named(r.URL.Query().Get("source")).Page(show, r.URL.Query().Get("after"), limit)
	if err != nil {
		return nil, badRequest("after: %v", err)
	}
	if err := s.AskPolicies(r.Context(), db); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), reportDNS)
	defer cancel()
	s.AskRecord(ctx, d.resolver())
	if limit <= ui.SourceRows {
		s.AskSPF(ctx, d.resolver(), list)
	}
	s.Sources = list
	return struct {
		*inbox.Summary
		Next string `json:"next"`
	}{s, next}, nil
}

// reportDNS is how long the record of a domain is waited for.
const reportDNS = time.Second

// resolver is what mail is checked with, nil before there is one.
func (d *Daemon) resolver() resolver.Resolver {
	if n := d.names.Load(); n != nil {
		return n.cache
	}
	return nil
}

// askedReports reads the domain and the period of a request.
func (d *Daemon) askedReports(r *http.Request, name string, names ...string) (db store.Store, q inbox.Asked, err error) {
	if err := known(r, names...); err != nil {
		return nil, q, err
	}
	if db = d.history.reader(); db == nil {
		return nil, q, d.history.noHistory()
	}
	parsed, err := domain.Parse(name)
	if err != nil {
		return nil, q, badRequest("domain: %v", err)
	}
	days := ui.ReportDays
	if s := r.URL.Query().Get("days"); s != "" {
		if days, err = strconv.Atoi(s); err != nil || days < 1 || days > ui.MaxReportDays {
			return nil, q, badRequest("days is not a number from 1 to %d", ui.MaxReportDays)
		}
	}
	return db, ui.AskedReports(parsed, days, d.history.now(), d.resolver()), nil
}

// sourceDetail is GET /v1/reports/in/{domain}/source?key=&days=: one source of a domain.
func (d *Daemon) sourceDetail(r *http.Request) (any, error) {
	db, q, err := d.askedReports(r, r.PathValue("domain"), "key", "days")
	if err != nil {
		return nil, err
	}
	x, err := inbox.Describe(r.Context(), db, q, r.URL.Query().Get("key"))
	if errors.Is(err, inbox.ErrNoSource) {
		return nil, notFound(err.Error())
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), reportDNS)
	defer cancel()
	x.AskWho(ctx, d.resolver())
	return x, nil
}

// reportsReceived is GET /v1/reports/in/received?domain=&days=&after=: who sent reports, which, and what could not be
// read.
func (d *Daemon) reportsReceived(r *http.Request) (any, error) {
	const most = 50
	db, q, err := d.askedReports(r, r.URL.Query().Get("domain"), "domain", "days", "after")
	if err != nil {
		return nil, err
	}
	before, err := history.ParseCursor(r.URL.Query().Get("after"))
	if err != nil {
		return nil, badRequest("after: %v", err)
	}
	return inbox.ListReceived(r.Context(), db, q, before, most)
}

// receivedReport is GET /v1/reports/in/{id}: one report with all its records.
func (d *Daemon) receivedReport(rw http.ResponseWriter, r *http.Request) error {
	if err := known(r); err != nil {
		return err
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return badRequest("a report has a number, such as /v1/reports/in/12")
	}
	db := d.history.reader()
	if db == nil {
		return d.history.noHistory()
	}
	begun := false
	err = inbox.WriteReceived(r.Context(), db, id, func() io.Writer {
		begun = true
		rw.Header().Set("Content-Type", "application/json")
		return rw
	})
	switch {
	case begun && err != nil:
		d.log.Warn("a report was not sent to a browser completely", "error", listener.Text(err))
		panic(http.ErrAbortHandler)
	case errors.Is(err, inbox.ErrNoReport):
		return notFound(err.Error())
	}
	return err
}

// chooseSource is PUT /v1/reports/in/{domain}/source: whether a source sends for the domain. It answers with the
// summary of the domain.
func (d *Daemon) chooseSource(r *http.Request) (any, error) {
	const longest = 4 << 10
	var c struct {
		By     string `json:"by"`
		Source string `json:"source"`
		Chosen string `json:"chosen"`
	}
	if err := known(r); err != nil {
		return nil, err
	}
	name, err := domain.Parse(r.PathValue("domain"))
	if err != nil {
		return nil, badRequest("%v", err)
	}
	read := json.NewDecoder(io.LimitReader(r.Body, longest))
	read.DisallowUnknownFields()
	if err := read.Decode(&c); err != nil {
		return nil, badRequest(`send {"by":"network","source":"192.0.2.0/24","chosen":"yes"}, as by and name of GET /v1/reports/in`)
	}
	db := d.history.reader()
	if db == nil {
		return nil, d.history.noHistory()
	}
	if err := inbox.Choose(r.Context(), db, store.Millis(d.history.now()), web.UserOf(r).Name, name, c.By, c.Source, c.Chosen); err != nil {
		return nil, badRequest("%v", err)
	}
	return inbox.Summarize(r.Context(), db, ui.AskedReports(name, ui.ReportDays, d.history.now(), d.resolver()))
}

// ReadReports implements ui.Source.
func (c console) ReadReports(ctx context.Context, name string, in io.Reader) ([]ui.ReportIn, error) {
	return c.d.readReports(ctx, name, in)
}

// ReportsMost implements ui.Source.
func (c console) ReportsMost() int64 { return c.d.reportsMost() }
