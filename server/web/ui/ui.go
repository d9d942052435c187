// Package ui is the console: pages for people on the http listener. Each page answers one
// question in its first line. Every state is in its address, and reading needs no script. A page shows the same structs as the JSON of the HTTP API.
package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postseal/audit"
	"postseal/internal/app/explain"
	"postseal/server/web"
	"postseal/store"
)

// Source is what the pages show.
type Source interface {
	// Frame is what stands on every page.
	Frame() Frame
	// Store is the history. Without one, why says what to do.
	Store() (db store.Reader, why string)
	// Explain evaluates the evidence of a verdict again. The error is a *web.Refusal if none
	// is kept.
	Explain(ctx context.Context, ref string) (*Explained, error)
	// Audit looks at a domain now. The error is a *web.Refusal if the request is wrong.
	Audit(r *http.Request) (*audit.Report, error)
	// Config is the configuration in force, as text, without secrets.
	Config() string
	// Now is the clock.
	Now() time.Time
}

// Frame is what stands on every page.
type Frame struct {
	Host    string // the authserv-id
	Mode    string // the enforcement mode
	Version string
	Trouble string // something that is wrong for all pages, "" if nothing is
}

// Explained is a verdict that was evaluated again.
type Explained struct {
	Explanation *explain.Explanation
	Differences []string // from what was decided, empty if the evidence still holds
	Missing     []string // DNS answers that were not kept
}

//go:embed pages/*.html
var pages embed.FS

//go:embed style.css
var style []byte

//go:embed icon.svg
var icon []byte

// ui serves the pages.
type ui struct {
	source    Source
	templates map[string]*template.Template
}

// Routes are the pages of the console.
func Routes(s Source) []web.Route {
	u := &ui{source: s, templates: parse()}
	page := func(path string, h http.HandlerFunc) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Access: web.Reader, Page: true, Handler: h}
	}
	return []web.Route{
		page("/{$}", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/live", http.StatusSeeOther) }),
		page("/live", u.live),
		page("/search", u.search),
		page("/v/{ref}", u.message),
		page("/audit", u.auditForm),
		page("/audit/{domain}", u.audit),
		page("/system", u.system),
		asset("style.css", "text/css; charset=utf-8", style),
		asset("icon.svg", "image/svg+xml", icon),
	}
}

// asset is a file that says nothing of any mail: the login page needs it too.
func asset(name, media string, content []byte) web.Route {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return web.Route{Method: http.MethodGet, Path: "/assets/" + name, Access: web.Open, Handler: func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", media)
		rw.Header().Set("Cache-Control", "no-cache")
		rw.Header().Set("ETag", tag)
		http.ServeContent(rw, r, name, time.Time{}, bytes.NewReader(content))
	}}
}

var pageNames = []string{"live", "search", "message", "audit", "system"}

func parse() map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range pageNames {
		all[name] = template.Must(template.New(name+".html").Funcs(funcs).ParseFS(pages, "pages/frame.html", "pages/parts.html", "pages/"+name+".html"))
	}
	return all
}

// view is what a template gets.
type view struct {
	Frame
	Title   string
	Page    string // which link of the frame is the current one
	Refresh int    // seconds, 0: the page stays
	Now     time.Time
	Data    any
}

// show renders a page. It is written as a whole, so that an error is never half a page.
func (u *ui) show(rw http.ResponseWriter, status int, name, title string, refresh int, data any) {
	current := name
	if name == "message" {
		current = "search"
	}
	var b bytes.Buffer
	v := view{Frame: u.source.Frame(), Title: title, Page: current, Refresh: refresh, Now: u.source.Now().UTC(), Data: data}
	if err := u.templates[name].ExecuteTemplate(&b, "frame", v); err != nil {
		http.Error(rw, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	web.PageHeaders(rw)
	rw.WriteHeader(status)
	rw.Write(b.Bytes()) //nolint:errcheck // the client is gone
}

// State is why a block shows no data.
type State struct {
	Kind string // off, failed or empty
	Text string
	Next string // what to do
}

// searchLink is the address of a search.
func searchLink(terms ...string) string {
	return "/search?" + url.Values{"q": {strings.Join(terms, " ")}}.Encode()
}
