// Package ui is the console: pages for people on the http listener. Each page answers one
// question in its first line. The complete state of a page is in its URL, and reading needs no
// script. A page shows the same structs as the JSON of the HTTP API.
package ui

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal"
	"postseal/audit"
	"postseal/bundle"
	"postseal/internal/app/bulk"
	"postseal/internal/app/explain"
	"postseal/internal/app/history"
	"postseal/internal/app/outbox"
	"postseal/internal/app/watch"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/store"
)

// Source provides what the pages show.
type Source interface {
	// Frame returns what every page shows.
	Frame() Frame
	// Store returns the history. If there is none, why says what to do.
	Store() (db store.Reader, why string)
	// Newest calls read, which reads the history, and returns the verdicts of the last minute with what the
	// history did not have yet. It may call read again.
	Newest(read func() error) (Newest, error)
	// Recent holds the counts of the last hour by minute.
	Recent() *history.Recent
	// Attention returns what needs a person now.
	Attention(ctx context.Context) *Attention
	// Listeners are the open listeners, with their connections.
	Listeners() []Listening
	// Explain evaluates the evidence of a verdict again. The error is a *web.Refusal if none is
	// stored.
	Explain(ctx context.Context, ref string, now bool) (*Explained, error)
	// Story answers GET /v1/verdicts/{ref}/story, which is /v/REF.json too.
	Story(rw http.ResponseWriter, r *http.Request)
	// Audit audits a domain, or returns the last result. The error is a *web.Refusal if the request is
	// wrong.
	Audit(r *http.Request) (Audited, error)
	// Domains returns at most three domains of this host, to begin an audit with.
	Domains(ctx context.Context) []string
	// Watch returns the watch list, and Bulk the audits of lists. If there is none, why says what to do.
	Watch() (list *watch.List, why string)
	Bulk() (jobs *bulk.Jobs, why string)
	// WhatIf compares two policies on the kept evidence. The error is a *web.Refusal if the
	// request is wrong or nothing is kept.
	WhatIf(r *http.Request) (Comparison, error)
	// Entry returns the exemption or rule of a policy named exempt-REF, without-exempt-1 or
	// without-rule-1, empty for another.
	Entry(ctx context.Context, name string) Entry
	// Paste keeps a pasted policy and returns its name.
	Paste(text string) (string, error)
	// Trial is the policy that [trial] tests, nil without one.
	Trial() *Trial
	// System returns how the daemon is, with the checks of doctor if they are asked for.
	System(ctx context.Context, checks bool) *System
	// Configuration returns what is in force, and what a reload would change.
	Configuration(ctx context.Context) (*Configuration, error)
	// Exemptions returns the entries of the local policy with their hits.
	Exemptions(ctx context.Context) (*Exemptions, error)
	// LookUp asks the resolver of the daemon. The error is a *web.Refusal if the request is wrong.
	LookUp(ctx context.Context, name, kind string) (*LookedUp, error)
	// Reload reads the configuration file again. The error says why it was refused.
	Reload(ctx context.Context) error
	// SetLogLevel sets the level of the log for 15 minutes.
	SetLogLevel(name string) error
	// ReadReports reads the reports of others that a file holds, and says what became of each. The error is
	// a *web.Refusal. ReportsMost is how many octets an upload may have.
	ReadReports(ctx context.Context, name string, in io.Reader) ([]ReportIn, error)
	ReportsMost() int64
	// Reporting is how our own reports are made and sent. The error is a *web.Refusal if they cannot be made now.
	Reporting() (Reporting, error)
	// Resolver is what mail is checked with, nil if there is none yet.
	Resolver() resolver.Resolver
	// MessageIDKey is the key of the Message-IDs in the history, nil if there are none.
	MessageIDKey() store.MessageIDKey
	// Now returns the time.
	Now() time.Time
}

// Reporting is how our own reports are made and sent.
type Reporting struct {
	Sender     *outbox.Sender // to look at what would be sent: it has no key, and is the caller's alone
	Sends      bool           // [report] is set
	Window     string         // the time of the day, in UTC, in which they are sent
	FailuresOf []string       // the domains about which failure reports are sent; none: they are off
}

// Frame is what every page shows.
type Frame struct {
	Host    string // the authserv-id
	Mode    string // the enforcement mode
	Version string
	Trouble string // a problem that affects all pages, or ""
}

// Newest are the verdicts of the last minute, the newest first. A stream continues after them.
type Newest struct {
	Rows     []store.Row
	Unstored []store.Row // those that the history does not have yet
	Last     int64       // for GET /v1/live?from=
}

// Audited is the audit of a domain: its result, or while it runs the last result, nil without one.
type Audited struct {
	Report  *audit.Report
	At      time.Time // of Report
	Running bool
	Checks  []AuditCheck // queries that were answered so far
}

// AuditCheck is an answered query of an audit: an event of GET /v1/audit/{domain}/progress.
type AuditCheck struct {
	Check  string `json:"check"` // such as SPF
	Name   string `json:"name"`
	Type   string `json:"type"`
	Result string `json:"result"` // answer, none, or why it failed
}

// JobProgress is how far the audit of a list is: an event of GET /v1/bulk/{job}/progress.
type JobProgress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// Explained is a verdict that was evaluated again.
type Explained struct {
	Explanation *explain.Explanation
	Report      *postseal.Report // with a trace; nil: the page has the explanation alone
	Differences []string         // the difference from the recorded decision, empty if there is none
	Missing     []string         // DNS answers that were not kept
	Queries     []Query
	Private     *Private // nil if only domains are kept
	Recipients  int
	Until       time.Time // when the evidence is deleted
	Now         *Again    // with the DNS of now, if it was asked for
}

// Query is a DNS query of a verdict, with what the evidence holds of its answer.
type Query struct {
	bundle.Timing
	TTL    time.Duration // of the answer, or what was left of it in the cache
	Failed string        // why there is no answer: a resolver.Kind, or ""
	Stale  bool          // the answer was used after its TTL
	Secure bool          // DNSSEC proves it
}

// Again is a verdict that was evaluated with the DNS of now.
type Again struct {
	Explanation *explain.Explanation
	Records     []RecordChange // what the DNS answers differently
	Differences []string       // of the verdict, from what was decided
}

// RecordChange is a DNS query that is answered differently now. Was and Is are "" for no answer.
type RecordChange struct{ Type, Name, Was, Is string }

//go:embed pages/*.html
var pages embed.FS

//go:embed style.css
var style []byte

//go:generate go run -C build .

//go:embed dist/app.js
var script []byte

//go:embed icon.svg
var icon []byte

// ui serves the pages.
type ui struct {
	source    Source
	templates map[string]*template.Template
}

// Routes are the pages of the console.
func Routes(s Source) []web.Route {
	u := &ui{source: s, templates: templates()}
	page := func(path string, h http.HandlerFunc) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Access: web.Reader, Page: true, Handler: h}
	}
	act := func(path string, h http.HandlerFunc) web.Route {
		return web.Route{Method: http.MethodPost, Path: path, Access: web.Admin, Page: true, Handler: h}
	}
	return []web.Route{
		page("/{$}", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/live", http.StatusSeeOther) }),
		page("/live", patient(u.live)),
		page("/search", patient(u.search)),
		{Method: http.MethodGet, Path: "/search.jsonl", Access: web.Reader, Handler: u.export},
		page("/v/{ref}", u.message),
		page("/audit", u.auditForm),
		page("/audit/{domain}", u.audit),
		page("/audit/{domain}/history", u.auditHistory),
		page("/audit/watch", u.watchList),
		page("/bulk", u.bulk),
		page("/bulk/{job}", u.job),
		page("/system", u.system),
		page("/system/config", patient(u.config)),
		page("/system/exempt", patient(u.exempt)),
		page("/whatif", patient(u.whatIf)),
		page("/reports", patient(u.reports)),
		page("/reports/out", patient(u.reportsOut)),
		page("/reports/out/preview", patient(u.reportsPreview)),
		page("/reports/out/{day}/{domain}", patient(u.reportOut)),
		page("/reports/{domain}", patient(u.reportsOf)),
		page("/reports/{domain}/received", patient(u.reportsReceived)),
		page("/reports/{domain}/{key}", patient(u.reportsSource)),
		page("/report/{id}", patient(u.report)),
		act("/system/act", u.systemAct),
		act("/whatif/paste", u.paste),
		act("/reports/out/act", u.outAct),
		act("/v/{ref}/show", u.messageShow),
		act("/reports/upload", u.reportsUpload),
		act("/reports/{domain}/source", u.chooseSource),
		act("/audit/watch/set", u.watchSet),
		act("/bulk/start", u.bulkStart),
		act("/bulk/{job}/act", u.jobAct),
		assetRoute("style.css"),
		assetRoute("app.js"),
		assetRoute("icon.svg"),
	}
}

var pageNames = []string{"live", "search", "message", "audit", "system", "whatif", "reports", "reportsource", "reportsreceived", "report", "reportsout", "reportspreview", "reportout", "audithistory", "watch", "bulk", "job", "systemconfig", "systemexempt"}

// templates are parsed once, and shared by all daemons of a process.
var templates = sync.OnceValue(parse)

func parse() map[string]*template.Template {
	all := map[string]*template.Template{}
	more := template.FuncMap{"asset": assetPath, "rate": rate, "listener": listenerName, "problem": problemOf, "newestFirst": newestFirst, "join": strings.Join, "periodKey": periodKey}
	for _, name := range pageNames {
		all[name] = template.Must(template.New(name+".html").Funcs(funcs).Funcs(more).ParseFS(pages, "pages/frame.html", "pages/parts.html", "pages/reportparts.html", "pages/"+name+".html"))
	}
	return all
}

// view is the data for a template.
type view struct {
	Frame
	Title   string
	Page    string // the current link of the frame
	User    string // who looks
	Role    string
	Theme   string // light or dark, "" for that of the system
	Here    string // the address of this page
	Admin   bool   // may change things
	Refresh int    // in seconds, 0: no refresh
	Follows bool   // a script does without Refresh
	Now     time.Time
	Hints   []hint
	Data    any
}

// hint is what keys do on a page.
type hint struct {
	Keys  []string
	Words string
}

var (
	toMove    = hint{[]string{"j", "k"}, "move"}
	toSection = hint{[]string{"j", "k"}, "section"}
	toOpen    = hint{[]string{"Enter"}, "open"}
	toDomain  = hint{[]string{"/"}, "domain"}
	toRecord  = hint{[]string{"y"}, "copy the record"}
	toPage    = hint{[]string{"[", "]"}, "previous, next"}
	toPeriod  = hint{[]string{"1", "7", "3"}, "one day, 7, 30"}
	toSearch  = hint{[]string{"/"}, "search"}
)

// hints are the keys in the footer of each page. Those that do nothing now are left out by a script.
// All keys of a page are in the list of the key "?".
var hints = map[string][]hint{
	"live":            {{[]string{"/"}, "filter"}, toMove, toOpen, {[]string{"p"}, "pause"}},
	"search":          {toSearch, toMove, toOpen, {[]string{"[", "]"}, "newer, older"}},
	"message":         {toSection, {[]string{"c"}, "copy"}, {[]string{"r"}, "run again"}, {[]string{"e"}, "exempt"}, {[]string{"[", "]"}, "previous, next result"}},
	"whatif":          {toMove, toOpen, toPeriod, {[]string{"y"}, "copy the entry"}},
	"audit":           {toDomain, {[]string{"j", "k"}, "finding"}, toRecord, {[]string{"w"}, "watch"}},
	"audithistory":    {toSection},
	"watch":           {toDomain, toMove, toOpen},
	"bulk":            {toMove, toOpen},
	"job":             {toMove, toOpen, toPage},
	"reports":         {{[]string{"/"}, "source"}, toMove, {[]string{"Enter"}, "its days and receivers"}, toPeriod, toRecord, toPage},
	"reportsource":    {toMove, toOpen},
	"reportsreceived": {toMove, toOpen, toPage},
	"report":          {toMove, toOpen, toPage},
	"reportsout":      {toMove, toOpen, toPage},
	"reportspreview":  {toMove, toOpen, toPage},
	"reportout":       {toMove, toOpen},
	"system":          {{[]string{"/"}, "look up"}, toSection, {[]string{"y"}, "copy the answer"}},
	"systemconfig":    {toSection},
	"systemexempt":    {toMove, toOpen},
}

// periodKey is the key of a period of a list, "" for one without a key.
func periodKey(value string) string {
	return map[string]string{"1": "1", "24h": "1", "7": "7", "7d": "7", "30": "3", "30d": "3"}[value]
}

// show renders a page. It is rendered completely before it is sent, so that an error never leaves half a page.
func (u *ui) show(rw http.ResponseWriter, r *http.Request, status int, name, title string, refresh int, data any) {
	current := name
	switch name {
	case "message":
		current = "search"
	case "reportsout", "reportspreview", "reportout", "reportsource", "reportsreceived", "report":
		current = "reports"
	case "audithistory", "watch", "bulk", "job":
		current = "audit"
	case "systemconfig", "systemexempt":
		current = "system"
	}
	var b bytes.Buffer
	user := web.UserOf(r)
	v := view{Frame: u.source.Frame(), User: user.Name, Role: string(user.Role), Admin: user.Role == listener.AdminRole, Theme: web.Theme(r), Here: here(r), Title: title, Page: current, Refresh: refresh,
		Follows: slices.Contains([]string{"live", "audit", "job", "whatif"}, name), Now: u.source.Now().UTC(), Hints: hints[name], Data: data}
	if d, ok := data.(*reportsData); ok && d.Summary == nil {
		v.Hints = []hint{toSearch, toMove, toOpen} // there is no list of sources
	}
	if err := u.templates[name].ExecuteTemplate(&b, "frame", v); err != nil {
		http.Error(rw, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	text := b.String()
	if m, ok := data.(masked); ok {
		text = m.mask(text)
	}
	web.PageHeaders(rw)
	send(rw, r, status, []byte(text))
}

// here returns the address of the page, to come back to.
func here(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "/"
	}
	return r.URL.RequestURI()
}

// patience is how long a page waits for the history. Only a test changes it.
var patience = 2 * time.Second

// patient gives a page an end: a database that does not answer never holds up its reader.
func patient(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		h(rw, r.WithContext(ctx))
	}
}

// failedState says why the history could not be read; what is the beginning of the sentence.
func failedState(r *http.Request, err error, what string) *State {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		return &State{"slow", fmt.Sprintf("%s: the database did not answer within %v.", what, patience), "It may be busy; mail is not affected. Reload the page to try again."}
	}
	return &State{"failed", what + ": " + store.Clean(err.Error()), "Reload the page to try again."}
}

// State is why a block shows no data.
type State struct {
	Kind string // off, failed, slow or empty
	Text string
	Next string // what to do
}

// historyLine is how the history is turned on.
const historyLine = "Verdicts are stored by default; [store] url = \"sqlite:/var/lib/postseal/store.db\" turns that on."

// searchLink returns the URL of a search.
func searchLink(terms ...string) string {
	return "/search?" + url.Values{"q": {strings.Join(terms, " ")}}.Encode()
}
