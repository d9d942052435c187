package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

// client kinds of the table of access.
type visitor struct {
	name   string
	change func(*http.Request)
}

const consoleToken = "0123456789abcdef0123456789abcdef"

// console is a service whose token lies in the state directory, and the engine of it.
func console(t *testing.T, config string) (http.Handler, *web) {
	t.Helper()
	state := t.TempDir()
	t.Setenv("STATE_DIRECTORY", state)
	if err := os.WriteFile(filepath.Join(state, "console.token"), []byte(consoleToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return service(t, config)
}

func service(t *testing.T, config string) (http.Handler, *web) {
	t.Helper()
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	e := listenertest.Engine(t, names, config, io.Discard)
	w := &web{engine: e, ready: func(context.Context) error { return nil }, sessions: newSessions(time.Now, nil), logins: newLogins()}
	return w.handler(get(e, "/v1/verdicts/{ref}", shown), Route{Method: http.MethodGet, Path: "/search", Access: Reader, Page: true, Handler: JSON(e, shown)},
		Route{Method: http.MethodGet, Path: "/v1/audit/{domain}", Access: Host, Handler: JSON(e, shown)}), w
}

func shown(*http.Request) (any, error) { return "private", nil }

// TestAccess: who gets what from each route, whatever the browser or the proxy in between.
func TestAccess(t *testing.T) {
	h, w := console(t, "[web]\nhosts = ['mail.mx.test']\ntrusted_proxies = ['127.0.0.1']\n[listen]\nprofiles = true\n")
	rec := httptest.NewRecorder()
	w.sessions.begin(rec, request("POST", "/login/enter", ""), tokenUser, w.engine.Current().Token)
	cookie := rec.Result().Cookies()[0]
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	with := func(changes ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			for _, c := range changes {
				c(r)
			}
		}
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	login := func(r *http.Request) { r.AddCookie(cookie) }
	bearer := header("Authorization", "Bearer "+consoleToken)
	routes := []struct{ method, path string }{{"GET", "/healthz"}, {"GET", "/metrics"}, {"POST", "/v1/verify?ip=192.0.2.1"}, {"GET", "/v1/audit/a.test"}, {"GET", "/v1/verdicts/X"}, {"GET", "/search"}, {"POST", "/v1/login-codes"}, {"GET", "/debug/pprof/"}}
	for _, v := range []struct {
		visitor
		want [8]int // one for each route
	}{
		{visitor{"this machine", with()}, [8]int{200, 200, 200, 200, 401, 303, 401, 401}},
		{visitor{"this machine, by name", host("LocalHost.:8896")}, [8]int{200, 200, 200, 200, 401, 303, 401, 401}},
		{visitor{"this machine, IPv6", with(from("[::1]:5"), host("[::1]:8896"))}, [8]int{200, 200, 200, 200, 401, 303, 401, 401}},
		{visitor{"a unix socket", with(from("@"), host("x"))}, [8]int{200, 200, 200, 200, 401, 303, 401, 401}},
		{visitor{"another machine", from("192.0.2.9:5")}, [8]int{200, 200, 401, 401, 401, 303, 401, 401}},
		{visitor{"the token", bearer}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
		{visitor{"a wrong token", header("Authorization", "Bearer "+consoleToken[1:])}, [8]int{200, 200, 200, 200, 401, 303, 401, 401}},
		{visitor{"a login", login}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
		{visitor{"a login through a proxy", with(login, host("mail.mx.test"), header("X-Forwarded-For", "192.0.2.9"))}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
		{visitor{"forwarded by a proxy on this machine", header("X-Forwarded-For", "192.0.2.9")}, [8]int{200, 200, 401, 401, 401, 303, 401, 401}},
		{visitor{"forwarded, standard field", header("Forwarded", "for=192.0.2.9")}, [8]int{200, 200, 401, 401, 401, 303, 401, 401}},
		{visitor{"a name that is bound anew", with(login, host("evil.test"))}, [8]int{200, 200, 421, 421, 421, 421, 421, 421}},
		{visitor{"another address as name", with(login, host("192.0.2.5"))}, [8]int{200, 200, 421, 421, 421, 421, 421, 421}},
		{visitor{"a configured name", with(login, host("mail.mx.test:443"))}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
		{visitor{"a form of another site", with(login, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"))}, [8]int{200, 200, 403, 403, 403, 200, 403, 403}},
		{visitor{"a script of another site", with(login, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"))}, [8]int{200, 200, 403, 403, 403, 403, 403, 403}},
		{visitor{"an old browser, another origin", with(login, header("Origin", "https://evil.test"))}, [8]int{200, 200, 403, 403, 403, 403, 403, 403}},
		{visitor{"a page without an origin", with(login, header("Origin", "null"))}, [8]int{200, 200, 403, 403, 403, 403, 403, 403}},
		{visitor{"a sandboxed page of another site", with(login, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Origin", "null"))}, [8]int{200, 200, 403, 403, 403, 403, 403, 403}},
		{visitor{"a form of our own page", with(login, header("Sec-Fetch-Site", "same-origin", "Origin", "null"))}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
		{visitor{"our own page", with(login, header("Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8896"))}, [8]int{200, 200, 200, 200, 200, 200, 200, 200}},
	} {
		t.Run(v.name, func(t *testing.T) {
			for i, route := range routes {
				body := ""
				if strings.HasPrefix(route.path, "/v1/verify") {
					body = mail
				}
				r := request(route.method, route.path, body)
				v.change(r)
				rw := httptest.NewRecorder()
				h.ServeHTTP(rw, r)
				if rw.Code != v.want[i] {
					t.Errorf("%s %s: %d, want %d", route.method, route.path, rw.Code, v.want[i])
				}
				if rw.Code != 200 && strings.Contains(rw.Body.String(), "private") {
					t.Errorf("%s %s: %d shows what it refuses", route.method, route.path, rw.Code)
				}
			}
		})
	}
}

// TestMediaType: a form of another site cannot post a message.
func TestMediaType(t *testing.T) {
	h, _ := console(t, "")
	for media, want := range map[string]int{"message/rfc822": 200, "message/rfc822; charset=us-ascii": 200, "text/plain": 415, "": 415, "application/x-www-form-urlencoded": 415} {
		r := request("POST", "/v1/verify?ip=192.0.2.1", mail)
		r.Header.Set("Content-Type", media)
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		if rw.Code != want {
			t.Errorf("%q: %d, want %d", media, rw.Code, want)
		}
	}
}

// submit sends a form of the login page.
func submit(h http.Handler, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	r := request("POST", "/login/enter", form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

// TestLogin: the token begins a session, which ends by itself, by logging out, and when the
// token changes.
func TestLogin(t *testing.T) {
	state := t.TempDir()
	t.Setenv("STATE_DIRECTORY", state)
	if err := os.WriteFile(filepath.Join(state, "console.token"), []byte(consoleToken), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h, w := service(t, "")
		rw := submit(h, url.Values{"token": {consoleToken}, "next": {"/search?q=a"}}, nil)
		if rw.Code != 303 || rw.Header().Get("Location") != "/search?q=a" {
			t.Fatalf("%d %s", rw.Code, rw.Header())
		}
		cookie := rw.Result().Cookies()[0]
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge != 0 {
			t.Errorf("cookie %v", cookie)
		}
		may := func() bool {
			r := request("GET", "/search", "")
			r.AddCookie(cookie)
			return w.mayUse(w.engine.Current(), Reader, r)
		}
		if !may() {
			t.Error("not logged in")
		}
		time.Sleep(sessionIdle + time.Second)
		if may() {
			t.Error("an idle session holds")
		}
		cookie = submit(h, url.Values{"token": {consoleToken}}, nil).Result().Cookies()[0]
		other := *w.engine.Current()
		other.Token = listener.Token{}
		if valid(w, cookie, &other) {
			t.Error("a session outlives its token")
		}
		cookie = submit(h, url.Values{"token": {consoleToken}}, nil).Result().Cookies()[0]
		r := withCookie(cookie)
		r.Method = "POST"
		r.URL.Path = "/logout"
		h.ServeHTTP(httptest.NewRecorder(), r)
		if may() {
			t.Error("logged out, and still in")
		}
	})
}

func valid(w *web, c *http.Cookie, s *listener.Snapshot) bool {
	_, ok := w.sessions.valid(withCookie(c), s)
	return ok
}

// TestUsers: people log in with a name; a reader changes nothing; a session ends with the line
// of its user; only a trusted proxy may name a person.
func TestUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	var lines []string
	for name, role := range map[string]listener.Role{"ann": listener.ReaderRole, "bob": listener.AdminRole} {
		line, err := listener.UserLine(name, role, name+"-password")
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(file, []byte("# people\n\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, w := console(t, "[web]\nusers = '"+file+"'\nauth_header = 'X-Remote-User'\nrole_header = 'X-Role'\ntrusted_proxies = ['10.0.0.1']\n")
	for name, want := range map[string]map[string]int{"ann": {"GET /search": 200, "POST /v1/login-codes": 403}, "bob": {"GET /search": 200, "POST /v1/login-codes": 200}} {
		rw := submit(h, url.Values{"name": {name}, "token": {name + "-password"}}, func(r *http.Request) { r.RemoteAddr = name[:1] + "1:1" })
		if rw.Code != 303 {
			t.Fatalf("%s: %d %s", name, rw.Code, rw.Body)
		}
		cookie := rw.Result().Cookies()[0]
		for route, status := range want {
			method, path, _ := strings.Cut(route, " ")
			r := withCookie(cookie)
			r.Method, r.URL.Path = method, path
			got := httptest.NewRecorder()
			h.ServeHTTP(got, r)
			if got.Code != status {
				t.Errorf("%s: %s: %d, want %d", name, route, got.Code, status)
			}
		}
		later := *w.engine.Current()
		later.Users = nil
		if valid(w, cookie, &later) {
			t.Errorf("%s: the session outlives its user", name)
		}
	}
	for _, form := range []url.Values{{"name": {"ann"}, "token": {"bob-password"}}, {"name": {"eve"}, "token": {"ann-password"}}, {"name": {""}, "token": {"ann-password"}}, {"name": {"token"}, "token": {""}}} {
		if rw := submit(h, form, nil); rw.Code == 303 {
			t.Errorf("%v logs in", form)
		}
	}
	for _, c := range []struct {
		remote, user, role, method, path string
		want                             int
	}{
		{"10.0.0.1:1", "carol", "", "GET", "/search", 200}, {"10.0.0.1:1", "carol", "admin", "POST", "/v1/login-codes", 200},
		{"10.0.0.1:1", "carol", "reader", "POST", "/v1/login-codes", 403}, {"10.0.0.1:1", "", "admin", "GET", "/search", 303},
		{"127.0.0.1:1", "carol", "", "GET", "/search", 400}, {"192.0.2.1:1", "carol", "admin", "GET", "/search", 400}, {"192.0.2.1:1", "", "admin", "GET", "/search", 400},
	} {
		r := request(c.method, c.path, "")
		r.RemoteAddr = c.remote
		if c.user != "" {
			r.Header.Set("X-Remote-User", c.user)
		}
		if c.role != "" {
			r.Header.Set("X-Role", c.role)
		}
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		if rw.Code != c.want {
			t.Errorf("%+v: %d", c, rw.Code)
		}
	}
}

func withCookie(c *http.Cookie) *http.Request {
	r := request("GET", "/search", "")
	r.AddCookie(c)
	return r
}

// TestLoginCode: a code logs in once, within five minutes.
func TestLoginCode(t *testing.T) {
	state := t.TempDir()
	t.Setenv("STATE_DIRECTORY", state)
	if err := os.WriteFile(filepath.Join(state, "console.token"), []byte(consoleToken), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h, w := service(t, "")
		code := w.sessions.newCode(t.Context())
		if rw := submit(h, url.Values{"code": {code}}, nil); rw.Code != 303 {
			t.Errorf("first use: %d", rw.Code)
		}
		if rw := submit(h, url.Values{"code": {code}}, nil); rw.Code != 403 {
			t.Errorf("second use: %d", rw.Code)
		}
		old := w.sessions.newCode(t.Context())
		time.Sleep(codeLife + time.Second)
		if rw := submit(h, url.Values{"code": {old}}, nil); rw.Code != 403 {
			t.Errorf("late: %d", rw.Code)
		}
	})
}

// TestGuessing: a client gets five attempts a minute, and a login goes nowhere else.
func TestGuessing(t *testing.T) {
	h, _ := console(t, "")
	codes := map[int]int{}
	for range 30 {
		codes[submit(h, url.Values{"token": {"wrong"}}, nil).Code]++
	}
	if codes[403] != 5 || codes[429] != 25 {
		t.Errorf("codes %v", codes)
	}
	for _, next := range []string{"https://evil.test/", "//evil.test", "/\\evil.test", "javascript:1", "/a\r\nb"} {
		if got := inside(next); got != "/" {
			t.Errorf("%q goes on to %q", next, got)
		}
	}
	if rw := submit(h, url.Values{"token": {consoleToken}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); rw.Code != 403 {
		t.Errorf("a login by another site: %d", rw.Code)
	}
}

// TestMakeToken: the token is made once, and only its owner can read it.
func TestMakeToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "console.token")
	for range 2 {
		if err := listener.MakeToken(path); err != nil {
			t.Fatal(err)
		}
	}
	first, err := listener.ReadToken(path)
	if err != nil || len(first) < 16 {
		t.Fatal(first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if c := conf.Default(); c.Listen.HTTPTokenFile != "" {
		t.Error("a token file is configured by default")
	}
}

// TestClient: after a trusted proxy the client is the one that it names, else the one that
// connects.
func TestClient(t *testing.T) {
	_, w := console(t, "[web]\ntrusted_proxies = ['127.0.0.1', '10.0.0.0/8']\n")
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.9:1", "203.0.113.5", "192.0.2.9"},
		{"127.0.0.1:1", "203.0.113.5", "203.0.113.5"},
		{"127.0.0.1:1", "198.51.100.1, 203.0.113.5, 10.1.2.3", "203.0.113.5"},
		{"127.0.0.1:1", "junk", "127.0.0.1"},
		{"[2001:db8:1:2:3::4]:1", "", "2001:db8:1:2::/64"},
	} {
		r := request("GET", "/", "")
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := Client(w.engine.Current(), r, false); got != c.want {
			t.Errorf("%s for %s: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}
