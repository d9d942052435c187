package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"postseal/audit"
	"postseal/internal/app/auditview"
	"postseal/internal/app/bulk"
	"postseal/internal/app/watch"
	"postseal/server/listener"
	"postseal/server/web"
)

// maxList bounds the octets of a list of domains.
const maxList = 32 << 20

// routes are the watch list and the audits of lists over HTTP.
func (a *audits) routes() []web.Route {
	json := func(method, path string, access web.Access, content func(*http.Request) (any, error)) web.Route {
		return web.Route{Method: method, Path: path, Access: access, Handler: web.JSON(a.d.engine, content)}
	}
	return []web.Route{
		json("GET", "/v1/audit/{domain}", web.Host, a.answer),
		json("GET", "/v1/audit/{domain}/history", web.Reader, a.history),
		{Method: "GET", Path: "/v1/audit/{domain}/progress", Access: web.Reader, Stream: true, Handler: web.Stream(a.d.engine, a.progress)},
		{Method: "GET", Path: "/v1/bulk/{job}/progress", Access: web.Reader, Stream: true, Handler: web.Stream(a.d.engine, a.jobProgress)},
		json("GET", "/v1/watch", web.Reader, a.watched),
		json("PUT", "/v1/watch/{domain}", web.Admin, a.putWatch),
		json("DELETE", "/v1/watch/{domain}", web.Admin, a.deleteWatch),
		json("GET", "/v1/bulk", web.Reader, a.jobs),
		{Method: "POST", Path: "/v1/bulk", Access: web.Admin, Handler: a.addJob},
		json("GET", "/v1/bulk/{job}", web.Reader, a.job),
		json("DELETE", "/v1/bulk/{job}", web.Admin, a.act((*bulk.Jobs).Remove)),
		json("POST", "/v1/bulk/{job}/stop", web.Admin, a.act((*bulk.Jobs).Stop)),
		json("POST", "/v1/bulk/{job}/resume", web.Admin, a.act((*bulk.Jobs).Resume)),
		{Method: "GET", Path: "/v1/bulk/{job}/export", Access: web.Reader, Handler: a.export},
	}
}

// off is the error without a state directory.
func (a *audits) off() error {
	if a.watch != nil {
		return nil
	}
	return notFound(a.why)
}

// watched is GET /v1/watch.
func (a *audits) watched(r *http.Request) (any, error) {
	if err := errors.Join(known(r), a.off()); err != nil {
		return nil, err
	}
	return struct {
		Schema  string        `json:"schema"`
		Domains []watch.Entry `json:"domains"`
	}{"postseal.watch/1", a.watch.All()}, nil
}

// history is GET /v1/audit/{domain}/history.
func (a *audits) history(r *http.Request) (any, error) {
	name, err := domainOf(r)
	if err := errors.Join(err, known(r), a.off()); err != nil {
		return nil, err
	}
	points, err := a.watch.History(name)
	if errors.Is(err, watch.ErrNotWatched) {
		return nil, notFound("this domain is not watched: PUT /v1/watch/" + string(name))
	}
	if err != nil {
		return nil, err
	}
	return struct {
		Schema string        `json:"schema"`
		Domain string        `json:"domain"`
		Points []watch.Point `json:"history"`
	}{"postseal.audit-history/1", string(name), points}, nil
}

// putWatch is PUT /v1/watch/{domain}, with {"every":"24h","notify":["grade","record","key"]} or
// nothing.
func (a *audits) putWatch(r *http.Request) (any, error) {
	const longest = 4 << 10
	name, err := domainOf(r)
	if err := errors.Join(err, known(r), a.off()); err != nil {
		return nil, err
	}
	var asked struct {
		Every  string   `json:"every"`
		Notify []string `json:"notify"`
	}
	every := time.Duration(0)
	if r.ContentLength != 0 {
		d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, longest))
		d.DisallowUnknownFields()
		if err := d.Decode(&asked); err != nil {
			return nil, badRequest(`the body is not JSON such as {"every":"24h","notify":["grade"]}`)
		}
	}
	if asked.Every != "" {
		if every, err = time.ParseDuration(asked.Every); err != nil {
			return nil, badRequest("every is not a duration such as 24h")
		}
	}
	e, err := a.watch.Put(name, every, asked.Notify, web.UserOf(r).Name)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return e, nil
}

// deleteWatch is DELETE /v1/watch/{domain}.
func (a *audits) deleteWatch(r *http.Request) (any, error) {
	name, err := domainOf(r)
	if err := errors.Join(err, known(r), a.off()); err != nil {
		return nil, err
	}
	if err := a.watch.Remove(name); errors.Is(err, watch.ErrNotWatched) {
		return nil, notFound(err.Error())
	} else if err != nil {
		return nil, err
	}
	return map[string]string{"removed": string(name)}, nil
}

// jobs is GET /v1/bulk.
func (a *audits) jobs(r *http.Request) (any, error) {
	if err := errors.Join(known(r), a.off()); err != nil {
		return nil, err
	}
	return struct {
		Schema string      `json:"schema"`
		Jobs   []bulk.Info `json:"jobs"`
	}{"postseal.bulk-jobs/1", a.bulk.List()}, nil
}

// addJob is POST /v1/bulk, with a list of domains as text.
func (a *audits) addJob(rw http.ResponseWriter, r *http.Request) {
	web.JSON(a.d.engine, func(r *http.Request) (any, error) {
		if err := errors.Join(known(r), a.off()); err != nil {
			return nil, err
		}
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "text/plain" {
			return nil, &web.Refusal{Status: http.StatusUnsupportedMediaType, Detail: "send the list with Content-Type: text/plain, one domain per line"}
		}
		info, err := a.bulk.Add(http.MaxBytesReader(rw, r.Body, maxList), web.UserOf(r).Name)
		if err != nil {
			return nil, badRequest("%v", err)
		}
		return info, nil
	})(rw, r)
}

// askedOf reads which part of a job a request wants.
func askedOf(r *http.Request) (bulk.Asked, error) {
	q := r.URL.Query()
	o := bulk.Asked{Rule: q.Get("rule"), Grade: q.Get("grade"), Sort: cmp.Or(q.Get("sort"), bulk.ByList), Limit: 50}
	if !slices.Contains([]string{bulk.ByList, bulk.ByGrade, bulk.ByName}, o.Sort) {
		return o, badRequest("sort is not one of list, grade, domain")
	}
	for _, x := range []struct {
		name string
		to   *int
		most int
	}{{"after", &o.After, bulk.MaxDomains}, {"limit", &o.Limit, 1000}} {
		if s := q.Get(x.name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 || n > x.most {
				return o, badRequest("%s is not a number from 0 to %d", x.name, x.most)
			}
			*x.to = n
		}
	}
	return o, nil
}

// job is GET /v1/bulk/{job}.
func (a *audits) job(r *http.Request) (any, error) {
	asked, err := askedOf(r)
	if err := errors.Join(known(r, "rule", "grade", "sort", "after", "limit"), err, a.off()); err != nil {
		return nil, err
	}
	p, err := a.bulk.Page(r.PathValue("job"), asked)
	return p, jobError(err)
}

func jobError(err error) error {
	if errors.Is(err, bulk.ErrNoJob) {
		return notFound(err.Error())
	}
	return err
}

// act is what changes a job.
func (a *audits) act(f func(*bulk.Jobs, string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if err := errors.Join(known(r), a.off()); err != nil {
			return nil, err
		}
		if err := f(a.bulk, r.PathValue("job")); err != nil {
			return nil, jobError(err)
		}
		return a.jobs(r)
	}
}

// exports are the formats of GET /v1/bulk/{job}/export.
var exports = map[string]string{"csv": "text/csv; charset=utf-8", "sarif": "application/sarif+json", "jsonl": "application/x-ndjson", "md": "text/markdown; charset=utf-8", "junit": "application/xml"}

// export is GET /v1/bulk/{job}/export: the reports that are done, in the formats of postseal audit.
func (a *audits) export(rw http.ResponseWriter, r *http.Request) {
	web.Stream(a.d.engine, func(rw http.ResponseWriter, r *http.Request) error {
		format, id := cmp.Or(r.URL.Query().Get("format"), "csv"), r.PathValue("job")
		if exports[format] == "" {
			return badRequest("format is not one of csv, jsonl, junit, md, sarif")
		}
		if err := errors.Join(known(r, "format"), a.off()); err != nil {
			return err
		}
		if _, err := a.bulk.Page(id, bulk.Asked{Limit: 1}); err != nil {
			return jobError(err)
		}
		rw.Header().Set("Content-Type", exports[format])
		rw.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "audit-"+id+"."+format))
		if err := a.exportTo(rw, id, format); err != nil {
			a.d.log.Warn("an export of audits was cut off", "error", listener.Text(err))
			panic(http.ErrAbortHandler) // the client must not take a part for the whole
		}
		return nil
	})(rw, r)
}

func (a *audits) exportTo(rw http.ResponseWriter, id, format string) error {
	if format == "jsonl" {
		out := json.NewEncoder(rw)
		return a.bulk.Reports(id, func(r *audit.Report) error { return out.Encode(r) })
	}
	w, err := auditview.New(format, rw, auditview.Options{Version: a.d.options.Version, Many: true})
	if err != nil {
		return err
	}
	if err := a.bulk.Reports(id, func(r *audit.Report) error { return w.Report(r, auditview.Source{}) }); err != nil {
		return err
	}
	return w.Close()
}
