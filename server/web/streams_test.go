package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestStreamLimits: a session has 10 streams at most, all together 200; those that end make room, and programs with the
// token count only among all.
func TestStreamLimits(t *testing.T) {
	_, w := console(t, "")
	h := w.handler(Route{Method: http.MethodGet, Path: "/v1/live", Access: Reader, Stream: true, Handler: func(_ http.ResponseWriter, r *http.Request) {
		close(r.Context().Value(begunKey{}).(chan struct{})) // it follows
		<-r.Context().Done()
	}})
	login := func() *http.Cookie {
		rec := httptest.NewRecorder()
		w.sessions.begin(rec, request("POST", "/login/enter", ""), tokenUser, w.engine.Current().Token)
		return rec.Result().Cookies()[0]
	}
	var open sync.WaitGroup
	follow := func(change func(*http.Request)) (status int, leave func()) {
		ctx, cancel := context.WithCancel(t.Context())
		begun, ended := make(chan struct{}), make(chan struct{})
		r := request("GET", "/v1/live", "").WithContext(context.WithValue(ctx, begunKey{}, begun))
		change(r)
		rw := httptest.NewRecorder()
		open.Go(func() {
			h.ServeHTTP(rw, r)
			close(ended)
		})
		select {
		case <-begun:
			return http.StatusOK, func() { cancel(); <-ended }
		case <-ended:
			cancel()
			return rw.Code, func() {}
		}
	}
	first, second := login(), login()
	as := func(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+consoleToken) }
	leave := map[*http.Cookie]func(){}
	for _, c := range []*http.Cookie{first, second} {
		for i := range sessionStreams {
			status, end := follow(as(c))
			if status != http.StatusOK {
				t.Fatalf("stream %d: %d", i+1, status)
			}
			leave[c] = end
		}
		if status, _ := follow(as(c)); status != http.StatusTooManyRequests {
			t.Errorf("stream %d of a session: %d", sessionStreams+1, status)
		}
	}
	leave[first]()
	if status, _ := follow(as(first)); status != http.StatusOK {
		t.Errorf("after one ended: %d", status)
	}
	for i := range maxStreams - 2*sessionStreams {
		if status, _ := follow(bearer); status != http.StatusOK {
			t.Fatalf("program %d: %d", i+1, status)
		}
	}
	for name, change := range map[string]func(*http.Request){"a program": bearer, "a new session": as(login())} {
		if status, _ := follow(change); status != http.StatusServiceUnavailable {
			t.Errorf("%s beyond all: %d", name, status)
		}
	}
	leave[second]()
	if status, _ := follow(bearer); status != http.StatusOK {
		t.Errorf("after one of all ended: %d", status)
	}
	t.Cleanup(open.Wait) // after the context of the test
}

type begunKey struct{}

// TestNoStore: no answer may be stored but that of an asset, which has its own field.
func TestNoStore(t *testing.T) {
	h, w := console(t, "")
	for _, path := range []string{"/login", "/healthz", "/metrics", "/readyz", "/search", "/v1/verdicts/X", "/none"} {
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, request("GET", path, ""))
		if got := rw.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: %q", path, got)
		}
	}
	w.handler(Route{Method: http.MethodGet, Path: "/assets/style.0123.css", Asset: "style.css", Access: Open, Handler: func(http.ResponseWriter, *http.Request) {}})
	rw := httptest.NewRecorder()
	w.loginForm(rw, request("GET", "/login", ""))
	if body := rw.Body.String(); !strings.Contains(body, `href="/assets/style.0123.css"`) {
		t.Errorf("the login does not load the style: %s", body)
	}
}
