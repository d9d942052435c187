package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"postseal/domain"
	"postseal/internal/app/inbox"
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

// reportSummary is GET /v1/reports/in?domain=&days=: the data of the page Reports.
func (d *Daemon) reportSummary(r *http.Request) (any, error) {
	if err := known(r, "domain", "days"); err != nil {
		return nil, err
	}
	db := d.history.reader()
	if db == nil {
		return nil, d.history.noHistory()
	}
	name, err := domain.Parse(r.URL.Query().Get("domain"))
	if err != nil {
		return nil, badRequest("domain: %v", err)
	}
	days := ui.ReportDays
	if s := r.URL.Query().Get("days"); s != "" {
		if days, err = strconv.Atoi(s); err != nil || days < 1 || days > ui.MaxReportDays {
			return nil, badRequest("days is not a number from 1 to %d", ui.MaxReportDays)
		}
	}
	return inbox.Summarize(r.Context(), db, ui.AskedReports(name, days, d.history.now()))
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
	return inbox.Summarize(r.Context(), db, ui.AskedReports(name, ui.ReportDays, d.history.now()))
}

// ReadReports implements ui.Source.
func (c console) ReadReports(ctx context.Context, name string, in io.Reader) ([]ui.ReportIn, error) {
	return c.d.readReports(ctx, name, in)
}

// ReportsMost implements ui.Source.
func (c console) ReportsMost() int64 { return c.d.reportsMost() }
