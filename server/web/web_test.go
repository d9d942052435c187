package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

const zone = `
pass.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.pass.test. 60 TXT "v=DMARC1; p=reject"
`

func handler(t testing.TB, log io.Writer, ready error) (http.Handler, *listener.Engine) {
	t.Helper()
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	e := listenertest.Engine(t, names, "[limits]\nhttp_message = '1KiB'\n", log)
	return New(e, func(context.Context) error { return ready }, nil).Handler, e
}

// request is one that a program on this machine makes.
func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:8896"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "message/rfc822")
	}
	return r
}

// TestMain gives the services of the tests their own state directory, without a token.
func TestMain(m *testing.M) {
	state, err := os.MkdirTemp("", "postseal-state-")
	if err != nil {
		panic(err)
	}
	os.Setenv("STATE_DIRECTORY", state)
	code := m.Run()
	os.RemoveAll(state)
	os.Exit(code)
}

// get is a route that answers with JSON to readers.
func get(e *listener.Engine, path string, content func(*http.Request) (any, error)) Route {
	return Route{Method: http.MethodGet, Path: path, Access: Reader, Handler: JSON(e, content)}
}

// TestProfiles: off unless the configuration says so.
func TestProfiles(t *testing.T) {
	for config, want := range map[string]int{"": http.StatusNotFound, "[listen]\nprofiles = true\n": http.StatusOK} {
		c, _, err := conf.Parse("t", []byte("authserv_id = 'mx.test'\n"+config), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h, e := handler(t, io.Discard, nil)
		s := *e.Current()
		s.Config = c
		e.Swap(&s)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/trace?seconds=0.01"} {
			rw := httptest.NewRecorder()
			r := request("GET", path, "")
			h.ServeHTTP(rw, r)
			if rw.Code != want {
				t.Errorf("%q: %s answers %d, want %d", config, path, rw.Code, want)
			}
		}
	}
}

// TestToken: what shows mail is for those who have the token, or without one for this machine;
// health and metrics show none.
func TestToken(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	type answers struct{ trial, profile, verify int }
	for _, test := range []struct {
		name, token, from, sent string
		want                    answers
	}{
		{"no token, this machine", "", "127.0.0.1:1", "", answers{200, 200, 200}},
		{"no token, this machine, IPv6", "", "[::1]:1", "", answers{200, 200, 200}},
		{"no token, a unix socket", "", "@", "", answers{200, 200, 200}},
		{"no token, another machine", "", "192.0.2.1:1", "", answers{403, 403, 403}},
		{"no token, another machine with one", "", "192.0.2.1:1", secret, answers{403, 403, 403}},
		{"token, this machine without it", file, "127.0.0.1:1", "", answers{401, 401, 401}},
		{"token, another machine with a wrong one", file, "192.0.2.1:1", secret[1:], answers{401, 401, 401}},
		{"token, another machine with it", file, "192.0.2.1:1", secret, answers{200, 200, 200}},
	} {
		c, _, err := conf.Parse("t", []byte("authserv_id = 'mx.test'\n[listen]\nprofiles = true\nhttp_token_file = '"+test.token+"'\n"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, e := handler(t, io.Discard, nil)
		engine, _ := c.Engine()
		engine.Resolver = e.Current().Resolver
		s, err := listener.NewSnapshot(c, engine)
		if err != nil {
			t.Fatal(err)
		}
		e.Swap(s)
		h := New(e, func(context.Context) error { return nil }, nil, get(e, "/v1/trial", func(*http.Request) (any, error) { return "domains of senders", nil })).Handler
		ask := func(method, path, body string) int {
			r := request(method, path, body)
			r.RemoteAddr = test.from
			if test.sent != "" {
				r.Header.Set("Authorization", "Bearer "+test.sent)
			}
			rw := httptest.NewRecorder()
			h.ServeHTTP(rw, r)
			if rw.Code != http.StatusOK && strings.Contains(rw.Body.String(), "domains of senders") {
				t.Errorf("%s: %d shows %s", test.name, rw.Code, rw.Body)
			}
			return rw.Code
		}
		got := answers{ask("GET", "/v1/trial", ""), ask("GET", "/debug/pprof/heap", ""), ask("POST", "/v1/verify?ip=192.0.2.1", mail)}
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			if got := ask("GET", path, ""); got != http.StatusOK {
				t.Errorf("%s: %s answers %d", test.name, path, got)
			}
		}
	}
}

// TestTokenFile: a token that is missing or can be guessed is an error of the configuration.
func TestTokenFile(t *testing.T) {
	short := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(short, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{short, short + ".missing"} {
		if _, err := listener.ReadToken(file); err == nil || !strings.Contains(err.Error(), "http_token_file") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestRefusal: a page tells the client what it refuses, and the log alone what went wrong.
func TestRefusal(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		body   string
		logged bool
	}{
		{&Refusal{http.StatusNotFound, "no such verdict"}, 404, "no such verdict", false},
		{errors.New("open /secret: disk"), 500, "see the log for details", true},
	} {
		var log strings.Builder
		_, e := handler(t, &log, nil)
		h := New(e, func(context.Context) error { return nil }, nil, get(e, "/v1/x/{id}", func(*http.Request) (any, error) { return nil, test.err })).Handler
		r := request("GET", "/v1/x/1", "")
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		if kind := rw.Header().Get("Content-Type"); rw.Code != test.status || kind != "application/problem+json" || !strings.Contains(rw.Body.String(), test.body) || strings.Contains(rw.Body.String(), "secret") {
			t.Errorf("%v: %d %s %s", test.err, rw.Code, kind, rw.Body)
		}
		if got := strings.Contains(log.String(), "secret"); got != test.logged {
			t.Errorf("%v: logged %v", test.err, got)
		}
	}
}

const mail = "From: a@pass.test\nSubject: x\n\nhello\n"

func TestHTTP(t *testing.T) {
	for _, test := range []struct {
		method, path, body string
		status             int
		kind, want         string
	}{
		{"POST", "/v1/verify?ip=192.0.2.1&helo=x.test&from=%3Ca@pass.test%3E", mail, 200, "application/json", `"dmarc":{"result":"pass"`},
		{"POST", "/v1/verify?ip=[IPv6:2001:db8::1]&from=a@pass.test", mail, 200, "application/json", `"action":"reject"`},
		{"POST", "/v1/verify", mail, 200, "application/json", `"schema":"postseal.verify/1"`},
		{"POST", "/v1/verify?ip=nope", mail, 400, "application/problem+json", "ip is not an address"},
		{"POST", "/v1/verify?enforce=strict", mail, 400, "application/problem+json", "unknown parameter enforce"},
		{"POST", "/v1/verify", "", 400, "application/problem+json", "the body is empty"},
		{"POST", "/v1/verify", strings.Repeat("x: y\n", 1000), 413, "application/problem+json", "http_message"},
		{"GET", "/v1/verify", "", 405, "application/problem+json", "use POST"},
		{"POST", "/metrics", "", 405, "application/problem+json", "use GET"},
		{"GET", "/v2", "", 404, "application/problem+json", "not found"},
		{"GET", "/healthz", "", 200, "text/plain; charset=utf-8", "ok"},
		{"HEAD", "/healthz", "", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/readyz", "", 200, "text/plain; charset=utf-8", "ready"},
		{"GET", "/metrics", "", 200, "text/plain", "postseal_build_info"},
	} {
		h, _ := handler(t, io.Discard, nil)
		r := httptest.NewRecorder()
		h.ServeHTTP(r, request(test.method, test.path, test.body))
		if kind := r.Header().Get("Content-Type"); r.Code != test.status || !strings.HasPrefix(kind, test.kind) || !strings.Contains(r.Body.String(), test.want) {
			t.Errorf("%s %s: %d %s %s, want %d %s with %q", test.method, test.path, r.Code, kind, r.Body, test.status, test.kind, test.want)
		}
		if strings.Contains(test.kind, "json") && !json.Valid(r.Body.Bytes()) {
			t.Errorf("%s %s: no JSON: %s", test.method, test.path, r.Body)
		}
	}
}

func TestNotReady(t *testing.T) {
	h, _ := handler(t, io.Discard, errors.New("no name server answers"))
	r := httptest.NewRecorder()
	h.ServeHTTP(r, request("GET", "/readyz", ""))
	if r.Code != 503 || !strings.Contains(r.Body.String(), "no name server answers") {
		t.Errorf("got %d %s", r.Code, r.Body)
	}
}

// TestRecorded: a verdict over HTTP is logged and counted as any other.
func TestRecorded(t *testing.T) {
	var log strings.Builder
	h, _ := handler(t, &log, nil)
	r := httptest.NewRecorder()
	h.ServeHTTP(r, request("POST", "/v1/verify?ip=192.0.2.1&from=a@pass.test", mail))
	if n := strings.Count(log.String(), "door=http verdict=accept"); n != 1 {
		t.Errorf("log: %s", log.String())
	}
	r = httptest.NewRecorder()
	h.ServeHTTP(r, request("GET", "/metrics", ""))
	if want := `postseal_messages_total{applied="accept",enforce="guarded",verdict="accept"} 1`; !strings.Contains(r.Body.String(), want) {
		t.Errorf("metrics do not have %s", want)
	}
}

// TestPanic: a bug is an answer of 500, logged and counted.
func TestPanic(t *testing.T) {
	var log strings.Builder
	h, e := handler(t, &log, nil)
	broken := *e.Current()
	broken.Config = nil
	e.Swap(&broken)
	r := httptest.NewRecorder()
	h.ServeHTTP(r, request("POST", "/v1/verify", mail))
	if r.Code != 500 || !strings.Contains(r.Header().Get("Content-Type"), "problem") || !strings.Contains(log.String(), "<3>") {
		t.Errorf("got %d %s\n%s", r.Code, r.Body, log.String())
	}
}
