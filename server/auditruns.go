package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/bulk"
	"postseal/resolver"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of audits for the page: for how long a result is shown as it is, and at most, how many are
// kept, how long one may take and how long the page waits for it, the queries of one that are told,
// and how often progress is told.
const (
	auditFresh   = 5 * time.Minute
	auditKept    = 24 * time.Hour
	maxRuns      = 200
	auditTime    = 90 * time.Second
	auditWait    = 500 * time.Millisecond
	maxTold      = 1000
	progressStep = 500 * time.Millisecond
)

// auditRun is an audit that pages wait for, or its result.
type auditRun struct {
	ended chan struct{}

	mu      sync.Mutex
	told    []ui.AuditCheck // queries that were answered
	changed chan struct{}   // closed when there are more, or it ended
	report  *audit.Report   // after ended
	at      time.Time       // likewise
	before  *auditRun       // the last result, while this one runs
}

// tell notes an answered query.
func (x *auditRun) tell(c ui.AuditCheck) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.told) >= maxTold {
		return
	}
	x.told = append(x.told, c)
	close(x.changed)
	x.changed = make(chan struct{})
}

// since returns what was told after the first n, and a channel that is closed when there is more.
func (x *auditRun) since(n int) ([]ui.AuditCheck, <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.told[n:]), x.changed
}

func (x *auditRun) over() bool {
	select {
	case <-x.ended:
		return true
	default:
		return false
	}
}

// runKey names an audit by all that decides it.
func runKey(name domain.Name, o *audit.Options) string {
	var selectors []string
	for _, s := range o.Selectors {
		selectors = append(selectors, string(s.Name))
	}
	slices.Sort(selectors)
	return strings.Join(append([]string{string(name), string(o.Profile)}, selectors...), " ")
}

// show returns the audit that a page asks for: a result that is not old, or one that runs now, with
// the last result before it. again starts a new one.
func (a *audits) show(r *http.Request) (*auditRun, error) {
	name, o, err := auditAsked(r)
	if err != nil {
		return nil, err
	}
	key := runKey(name, &o)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.runs[key]
	if x != nil && (!x.over() || now.Sub(x.at) < auditFresh && r.URL.Query().Get("again") == "") {
		return x, nil
	}
	select {
	case a.room <- struct{}{}:
	default:
		if x != nil {
			return x, nil // old, and better than nothing
		}
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "other audits are running: try again later"}
	}
	run := &auditRun{ended: make(chan struct{}), changed: make(chan struct{})}
	if x != nil && now.Sub(x.at) < auditKept {
		run.before = x
	}
	a.forgetRuns(now)
	a.runs[key] = run
	a.running.Go(func() { a.do(run, name, o) })
	return run, nil
}

// auditAsked reads the domain and the options of a page.
func auditAsked(r *http.Request) (domain.Name, audit.Options, error) {
	name, err := domainOf(r)
	if err != nil {
		return "", audit.Options{}, err
	}
	q := url.Values{}
	for key, values := range r.URL.Query() {
		if key != "again" {
			q[key] = values
		}
	}
	o, err := auditOptions(&http.Request{URL: &url.URL{RawQuery: q.Encode()}})
	return name, o, err
}

// forgetRuns removes old results, and the oldest when there are many. a.mu is held.
func (a *audits) forgetRuns(now time.Time) {
	oldest := ""
	for key, x := range a.runs {
		switch {
		case !x.over():
		case now.Sub(x.at) > auditKept:
			delete(a.runs, key)
		case oldest == "" || x.at.Before(a.runs[oldest].at):
			oldest = key
		}
	}
	if len(a.runs) >= maxRuns && oldest != "" {
		delete(a.runs, oldest)
	}
}

// do makes an audit.
func (a *audits) do(x *auditRun, name domain.Name, o audit.Options) {
	defer func() { <-a.room }()
	defer func() {
		x.mu.Lock()
		x.at, x.before = time.Now(), nil
		close(x.changed)
		x.changed = make(chan struct{})
		x.mu.Unlock()
		close(x.ended)
	}()
	defer a.d.engine.Recover("audit", nil)
	ctx, cancel := context.WithTimeout(a.pages, auditTime)
	defer cancel()
	if len(o.Selectors) == 0 {
		o.Selectors = a.selectors(ctx, name)
	}
	x.report = a.auditor(telling{a.d.names.Load().cache, x, name}).Audit(ctx, name, o)
}

// telling tells each answered query.
type telling struct {
	next   resolver.Resolver
	run    *auditRun
	domain domain.Name
}

// Lookup implements resolver.Resolver.
func (t telling) Lookup(ctx context.Context, name string, kind resolver.Type) (resolver.Answer, error) {
	a, err := t.next.Lookup(ctx, name, kind)
	c := ui.AuditCheck{Check: checkOf(name, kind), Name: store.Clean(name), Type: kind.String(), Result: "answer"}
	switch {
	case err != nil:
		c.Result = string(resolver.KindOf(err))
	case len(a.Records) == 0:
		c.Result = "none"
	}
	t.run.tell(c)
	return a, err
}

// checkOf says which check a query is for.
func checkOf(name string, kind resolver.Type) string {
	label := strings.ToLower(name)
	switch {
	case strings.Contains(label, "_domainkey"):
		return "DKIM"
	case strings.HasPrefix(label, "_dmarc.") || strings.Contains(label, "._report._dmarc."):
		return "DMARC"
	case strings.HasPrefix(label, "_mta-sts.") || strings.HasPrefix(label, "mta-sts."):
		return "MTA-STS"
	case strings.HasPrefix(label, "_smtp._tls."):
		return "TLS-RPT"
	case strings.Contains(label, "._bimi."):
		return "BIMI"
	}
	switch kind {
	case resolver.TXT, resolver.SPF:
		return "SPF"
	case resolver.TLSA:
		return "DANE"
	case resolver.CAA:
		return "CAA"
	case resolver.DS, resolver.DNSKEY:
		return "DNSSEC"
	case resolver.MX, resolver.PTR:
		return "MX"
	}
	return "addresses"
}

// Audit implements ui.Source.
func (c console) Audit(r *http.Request) (ui.Audited, error) {
	x, err := c.d.audits.show(r)
	if err != nil {
		return ui.Audited{}, err
	}
	wait := time.NewTimer(auditWait)
	defer wait.Stop()
	select {
	case <-x.ended:
	case <-wait.C:
	case <-r.Context().Done():
	}
	told, _ := x.since(0)
	if x.over() {
		if x.report == nil {
			return ui.Audited{}, fmt.Errorf("the audit failed with an internal error; see the log for details")
		}
		return ui.Audited{Report: x.report, At: x.at.UTC()}, nil
	}
	shown := ui.Audited{Running: true, Checks: told}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.before != nil && x.before.report != nil {
		shown.Report, shown.At = x.before.report, x.before.at.UTC()
	}
	return shown, nil
}

// progress is GET /v1/audit/{domain}/progress: server-sent events, "check" for each answered query of an
// audit that a page waits for, and "done".
func (a *audits) progress(rw http.ResponseWriter, r *http.Request) error {
	name, o, err := auditAsked(r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	x := a.runs[runKey(name, &o)]
	a.mu.Unlock()
	if x == nil {
		return notFound("no page waits for an audit of this domain")
	}
	e := startEvents(rw)
	for n := 0; e.err == nil; {
		told, more := x.since(n)
		n += len(told)
		for _, c := range told {
			e.json("check", c)
		}
		if len(told) == 0 && x.over() {
			e.json("done", struct{}{})
			return nil
		}
		select {
		case <-more:
		case <-x.ended:
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

// jobProgress is GET /v1/bulk/{job}/progress: server-sent events, "progress" while a job runs, and "done".
func (a *audits) jobProgress(rw http.ResponseWriter, r *http.Request) error {
	if err := cmp.Or(known(r), a.off()); err != nil {
		return err
	}
	info := func() (bulk.Info, error) {
		for _, j := range a.bulk.List() {
			if j.ID == r.PathValue("job") {
				return j, nil
			}
		}
		return bulk.Info{}, notFound("no such job")
	}
	j, err := info()
	if err != nil {
		return err
	}
	e := startEvents(rw)
	t := time.NewTicker(progressStep)
	defer t.Stop()
	for last := -1; e.err == nil; j, err = info() {
		if err != nil || j.State != bulk.Running && j.State != bulk.Waiting {
			e.json("done", struct{}{})
			return nil
		}
		if j.Done != last {
			e.json("progress", ui.JobProgress{Done: j.Done, Total: j.Total})
			last = j.Done
		}
		select {
		case <-t.C:
		case <-a.pages.Done():
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

// startEvents begins a stream of server-sent events.
func startEvents(rw http.ResponseWriter) *events {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	return &events{rw: rw, control: http.NewResponseController(rw)}
}

// json writes an event.
func (e *events) json(event string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		e.err = err
		return
	}
	e.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, text))
}
