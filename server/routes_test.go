package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/web"
)

// routeTable is every route of the http listener with who may use it. A route that is not here
// fails TestRoutes: say who may use it, then add it.
var routeTable = map[string]web.Access{
	"GET /login": web.Open, "POST /login/enter": web.Open, "POST /logout": web.Reader, "POST /theme": web.Reader, "POST /v1/login-codes": web.Admin,
	"GET /metrics": web.Open, "GET /healthz": web.Open, "GET /readyz": web.Open, "GET /assets/style.css": web.Open, "GET /assets/icon.svg": web.Open,
	"POST /v1/verify": web.Host, "GET /v1/audit/{domain}": web.Host,
	"GET /{$}": web.Reader, "GET /live": web.Reader, "GET /search": web.Reader, "GET /search.jsonl": web.Reader, "GET /v/{ref}": web.Reader, "GET /audit": web.Reader, "GET /audit/{domain}": web.Reader,
	"GET /audit/{domain}/history": web.Reader, "GET /audit/watch": web.Reader, "POST /audit/watch/set": web.Admin, "GET /bulk": web.Reader, "GET /bulk/{job}": web.Reader, "POST /bulk/start": web.Admin, "POST /bulk/{job}/act": web.Admin,
	"GET /v1/audit/{domain}/history": web.Reader, "GET /v1/audit/{domain}/progress": web.Reader, "GET /v1/bulk/{job}/progress": web.Reader, "GET /v1/watch": web.Reader, "PUT /v1/watch/{domain}": web.Admin, "DELETE /v1/watch/{domain}": web.Admin,
	"GET /v1/bulk": web.Reader, "POST /v1/bulk": web.Admin, "GET /v1/bulk/{job}": web.Reader, "DELETE /v1/bulk/{job}": web.Admin, "POST /v1/bulk/{job}/stop": web.Admin, "POST /v1/bulk/{job}/resume": web.Admin, "GET /v1/bulk/{job}/export": web.Reader,
	"GET /v1/reports/out": web.Reader, "GET /v1/reports/out/{day}/{domain}": web.Reader, "POST /v1/reports/out/{day}/{domain}/retry": web.Admin, "GET /v1/suppressions": web.Reader, "DELETE /v1/suppressions/{target}": web.Admin, "POST /reports/out/act": web.Admin,
	"GET /system": web.Reader, "GET /system/config": web.Reader, "GET /system/exempt": web.Reader, "POST /system/act": web.Admin,
	"GET /v1/system": web.Reader, "GET /v1/config": web.Reader, "GET /v1/exempt": web.Reader, "GET /v1/lookup": web.Reader, "POST /v1/reload": web.Admin, "PUT /v1/log-level": web.Admin,
	"GET /whatif": web.Reader, "POST /whatif/paste": web.Admin,
	"GET /reports": web.Reader, "GET /reports/out": web.Reader, "GET /reports/{domain}": web.Reader, "GET /reports/{domain}/{key}": web.Reader, "GET /reports/{domain}/received": web.Reader, "GET /report/{id}": web.Reader, "GET /reports/out/preview": web.Reader, "GET /reports/out/{day}/{domain}": web.Reader,
	"GET /v1/reports/in/received": web.Reader, "GET /v1/reports/in/{id}": web.Reader, "GET /v1/reports/in/{domain}/source": web.Reader, "GET /v1/reports/out/preview": web.Reader, "GET /v1/reports/out/{day}/{domain}/destinations": web.Reader,
	"GET /v1/whatif": web.Reader, "POST /v1/policies": web.Admin, "POST /v1/reports/in": web.Admin, "GET /v1/reports/in": web.Reader, "PUT /v1/reports/in/{domain}/source": web.Admin, "POST /reports/upload": web.Admin, "POST /v/{ref}/show": web.Admin, "POST /reports/{domain}/source": web.Admin, "GET /v1/trial": web.Reader, "GET /v1/attention": web.Reader, "GET /v1/verdicts/{ref}": web.Reader, "GET /v1/verdicts": web.Reader, "GET /v1/minutes": web.Reader, "GET /v1/verdicts/{ref}/bundle": web.Admin, "GET /v1/verdicts/{ref}/story": web.Reader,
	"GET /v1/domain/{domain}": web.Reader, "GET /v1/tail": web.Reader, "GET /v1/live": web.Reader, "GET /assets/app.js": web.Open,
	"GET /debug/pprof/": web.Admin, "GET /debug/pprof/profile": web.Admin, "GET /debug/pprof/trace": web.Admin,
}

// wayIn is how a client comes, and what it gets for each kind of access: "yes", or what refuses
// it.
type wayIn struct {
	name                      string
	change                    func(*http.Request)
	open, host, reader, admin string
}

// TestRoutes: each route of the daemon is in the table, and gives each client what its kind of
// access says: path by method by role by origin.
func TestRoutes(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	line, err := listener.UserLine("ann", listener.ReaderRole, "ann-password")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := run(t, listeners+"profiles = true\n[web]\nusers = '"+users+"'\ntrusted_proxies = ['192.0.2.80']\nauth_header = 'X-Remote-User'\n")
	h := web.New(d.engine, func(context.Context) error { return nil }, nil, stubs(d.routes())...).Handler
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		t.Fatal(err)
	}
	ways := waysIn(token, loggedIn(t, h, "ann", "ann-password"), loggedIn(t, h, "", token))
	seen := map[string]bool{}
	for _, route := range web.Routes(d.engine, d.routes()...) {
		name := route.Method + " " + route.Path
		if route.Asset != "" {
			name = route.Method + " /assets/" + route.Asset
		}
		seen[name] = true
		access, known := routeTable[name]
		if !known || access != route.Access {
			t.Errorf("%s is %q, and %q in the table of this test", name, route.Access, access)
			continue
		}
		if slices.Contains([]string{"POST /logout", "POST /login/enter", "GET /debug/pprof/profile", "GET /debug/pprof/trace"}, name) {
			continue // ends the sessions of this test, has rules of its own (TestGuessing), or takes time
		}
		for _, w := range ways {
			want := map[web.Access]string{web.Open: w.open, web.Host: w.host, web.Reader: w.reader, web.Admin: w.admin}[access]
			if got := answer(h, &route, w.change); !allowed(got, want, &route) {
				t.Errorf("%s, %s: %s, want %s", name, w.name, got, want)
			}
		}
	}
	for name := range routeTable {
		if !seen[name] {
			t.Errorf("%s is in the table and not in the daemon", name)
		}
	}
}

// allowed reports whether an answer is what the table says: a page sends to the login instead of
// 401, and a link to a page may be followed from another site.
func allowed(got, want string, route *web.Route) bool {
	switch {
	case want == "401" && route.Page:
		want = "login"
	case want == "navigate" && route.Page && route.Method == http.MethodGet:
		want = "yes"
	case want == "navigate":
		want = "403"
	}
	return got == want
}

// stubs are routes that only say that they were reached.
func stubs(routes []web.Route) []web.Route {
	for i := range routes {
		routes[i].Handler = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTeapot) }
	}
	return routes
}

// answer says what a client gets from a route.
func answer(h http.Handler, route *web.Route, change func(*http.Request)) string {
	path := strings.NewReplacer("{$}", "", "{ref}", "ZZZZZZZZ", "{domain}", "a.test", "{job}", "none", "{key}", "dkim:a.test", "{id}", "1", "{day}", "2026-11-29", "{target}", "a.test").Replace(route.Path)
	r := httptest.NewRequest(route.Method, path, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8896", "127.0.0.1:4711"
	change(r)
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	switch {
	case strings.HasPrefix(rw.Header().Get("Location"), "/login"):
		return "login"
	case slices.Contains([]int{400, 401, 403, 421}, rw.Code):
		return fmt.Sprint(rw.Code)
	}
	return "yes"
}

// loggedIn returns the cookie of a login.
func loggedIn(t *testing.T, h http.Handler, name, password string) *http.Cookie {
	t.Helper()
	r := httptest.NewRequest("POST", "/login/enter", strings.NewReader(url.Values{"name": {name}, "token": {password}}.Encode()))
	r.Host, r.RemoteAddr = "127.0.0.1:8896", "127.0.0.1:4711"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	if rw.Code != http.StatusSeeOther {
		t.Fatalf("%q cannot log in: %d", name, rw.Code)
	}
	return rw.Result().Cookies()[0]
}

func waysIn(token string, reader, admin *http.Cookie) []wayIn {
	with := func(changes ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			for _, c := range changes {
				c(r)
			}
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	asReader, asAdmin := func(r *http.Request) { r.AddCookie(reader) }, func(r *http.Request) { r.AddCookie(admin) }
	from := func(address string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = address } }
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	crossSite := header("Sec-Fetch-Site", "cross-site")
	return []wayIn{
		{"this host", with(), "yes", "yes", "401", "401"},
		{"another host", from("192.0.2.9:1"), "yes", "401", "401", "401"},
		{"the token", header("Authorization", "Bearer "+token), "yes", "yes", "yes", "yes"},
		{"a wrong token", header("Authorization", "Bearer x"+token), "yes", "yes", "401", "401"},
		{"a reader", asReader, "yes", "yes", "yes", "403"},
		{"an admin", asAdmin, "yes", "yes", "yes", "yes"},
		{"a reader from another host", with(asReader, from("192.0.2.9:1")), "yes", "yes", "yes", "403"},
		{"forwarded by a proxy on this host", header("X-Forwarded-For", "192.0.2.9"), "yes", "401", "401", "401"},
		{"a person of the proxy", with(header("X-Remote-User", "carol"), from("192.0.2.80:1")), "yes", "yes", "yes", "403"},
		{"a person that the client names", header("X-Remote-User", "carol"), "yes", "400", "400", "400"},
		{"an admin, a rebound name", with(asAdmin, host("evil.test")), "yes", "421", "421", "421"},
		{"an admin, a link on another site", with(asAdmin, crossSite, header("Sec-Fetch-Mode", "navigate")), "yes", "403", "navigate", "403"},
		{"an admin, a script of another site", with(asAdmin, crossSite, header("Sec-Fetch-Mode", "cors")), "yes", "403", "403", "403"},
		{"an admin, an old browser, another origin", with(asAdmin, header("Origin", "https://evil.test")), "yes", "403", "403", "403"},
		{"an admin, our own page", with(asAdmin, header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://127.0.0.1:8896")), "yes", "yes", "yes", "yes"},
	}
}
