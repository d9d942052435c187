package ui

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"postseal"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/refusal"
)

// openPage is a page that needs no login, in one of its states.
type openPage struct {
	pageOf
	status int
}

// openPages are the pages of a handler.
type openPages struct {
	name    string
	handler http.Handler
	pages   []openPage
}

// apart makes each request one of another client, behind a proxy on this host: the limits have tests of their
// own.
func apart(h http.Handler) http.Handler {
	var asked atomic.Int32
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", 100+n/250%100, n%250))
		h.ServeHTTP(rw, r)
	})
}

// busy is a handler whose client has made more requests of this kind than the limits allow, just before each.
func busy(h http.Handler, method, path string) http.Handler {
	style := apart(h)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".css") || strings.HasPrefix(r.URL.Path, "/assets/") {
			style.ServeHTTP(rw, r)
			return
		}
		for range 50 {
			before := httptest.NewRequest(method, path, nil)
			before.RemoteAddr = r.RemoteAddr
			h.ServeHTTP(httptest.NewRecorder(), before)
		}
		h.ServeHTTP(rw, r)
	})
}

const openToken = "0123456789abcdef0123456789abcdef"

// loggingIn is the console with the page that logs in.
func loggingIn(t *testing.T, token, config string) http.Handler {
	t.Helper()
	state := t.TempDir()
	t.Setenv("STATE_DIRECTORY", state)
	if token != "" {
		if err := os.WriteFile(filepath.Join(state, "console.token"), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	zone, err := dnstest.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	e := listenertest.Engine(t, zone, "[web]\ntrusted_proxies = ['127.0.0.1']\n"+config, io.Discard)
	return web.New(e, func(context.Context) error { return nil }, nil, Routes(&source{db: filled(t)})...).Handler
}

// loginPages are the states of the page that logs in: its form, a form with names, a link, each of what can be
// wrong, too many attempts, and nothing to log in with.
func loginPages(t *testing.T) []openPages {
	t.Helper()
	line, err := listener.UserLine("ann", listener.ReaderRole, "the password of ann")
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := func(status int, name, path, says string, fill map[string]string) openPage {
		return openPage{pageOf{Name: name, Path: path, Says: says, Fill: fill, Brief: name != "login", Alike: status != 403 && name != "login" && name != "login-names"}, status}
	}
	wrong, link := map[string]string{"#token": "not the token"}, map[string]string{}
	return []openPages{
		{"login", apart(loggingIn(t, openToken, "")), []openPage{
			page(200, "login", "/login", "Run postseal ui on the mail server", nil), page(200, "login-code", "/login?code=x", "This link opens the console once.", nil),
			page(403, "login-failed", "/login?next=/search", "This is not the token.", wrong), page(403, "login-used", "/login?code=x", "This link was used already, or is older than five minutes.", link),
			page(303, "login-done", "/login?next=/search", "What can be searched", map[string]string{"#token": openToken})}},
		{"login with names", apart(loggingIn(t, openToken, "users = '"+users+"'\n")), []openPage{
			page(200, "login-names", "/login", "Password, or the token without a name", nil), page(403, "login-names-failed", "/login", "Name and password do not match.", map[string]string{"#name": "ann", "#token": "not hers"}),
			page(303, "login-names-done", "/login?next=/search", "What can be searched", map[string]string{"#name": "ann", "#token": "the password of ann"})}},
		{"login busy", busy(loggingIn(t, openToken, ""), http.MethodPost, "http://127.0.0.1/login/enter"), []openPage{page(429, "login-busy", "/login", "Too many attempts. Wait a minute.", wrong)}},
		{"login off", apart(loggingIn(t, "", "")), []openPage{page(200, "login-off", "/login", "[listen] http_token_file", nil)}},
	}
}

// refused is what the page of a refusal shows of a forged message of a bank.
func refused() *refusal.Facts {
	return &refusal.Facts{Ref: "V8J8SAPH", At: now, Until: now.AddDate(0, 1, 0), Host: "mx.example.net", Applied: postseal.Reject, Reason: postseal.DMARCReject, Client: "203.0.113.7",
		ClientName: "host-7.cheap.example", Author: "bank.test", DMARC: "fail", Policy: "reject", SPF: refusal.Check{Domain: "cheap.example", Result: "pass", Term: "ip4:203.0.113.0/24", Most: 10},
		PolicyName: "_dmarc.bank.test", Record: "v=DMARC1; p=reject; adkim=s; aspf=s", Strict: "adkim=s, aspf=s", Direct: true, Reply: []string{"550-5.7.1 Rejected: this message fails DMARC.", "550 5.7.1 Details: https://mx.example.net/r/V8J8SAPH-000000"}}
}

// refusalPages are the states of the public page: a refusal in each language, one that is deferred, one by a rule,
// nothing at this address, a store that fails, and too many requests.
func refusalPages(t *testing.T) []openPages {
	t.Helper()
	key, err := refusal.ReadKey(filepath.Join(t.TempDir(), "refusal.key"))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	find := func(_ context.Context, ref string) (*refusal.Facts, error) {
		f := refused()
		switch ref {
		case "DEFERRED":
			f.Applied, f.Reason = postseal.Defer, postseal.DMARCTempError
		case "00000RVE":
			f.Reason = postseal.LocalRule
		case "BR0KEN00":
			return nil, errors.New("disk on fire")
		}
		return f, nil
	}
	handler := func() http.Handler {
		return refusal.New(refusal.Options{Engine: listenertest.Engine(t, zone, "", io.Discard), Key: func() *refusal.Key { return key }, Find: find}).Handler
	}
	page := func(status int, name, ref, says string) openPage {
		path := "/r/" + ref
		if bare, query, _ := strings.Cut(ref, "?"); len(bare) == 8 {
			path = "/r/" + bare + "-" + key.Tag(bare) + "?" + query
		}
		return openPage{pageOf{Name: name, Path: strings.TrimSuffix(path, "?"), Says: says, Brief: name != "refusal" && name != "refusal-lost"}, status}
	}
	open := openPages{"refusal", apart(handler()), []openPage{page(200, "refusal", "V8J8SAPH", "A message from bank.test was not delivered"), page(404, "refusal-lost", "none", "There is no page here"),
		page(200, "refusal-defer", "DEFERRED", "A message from bank.test has not been accepted yet"), page(200, "refusal-rule", "00000RVE", "A rule set by this server's operator does not allow it."), page(503, "refusal-failed", "BR0KEN00", "Please try again later")}}
	for code, says := range map[string]string{"de": "wurde nicht zugestellt", "fr": "n’a pas été remis", "es": "no se ha entregado", "nl": "is niet bezorgd", "pt": "não foi entregue", "pl": "nie została dostarczona", "ja": "配信されませんでした"} {
		p := page(200, "refusal-"+code, "V8J8SAPH?lang="+code, says)
		p.Alike = true
		open.pages = append(open.pages, p)
	}
	return []openPages{open, {"refusal busy", busy(handler(), http.MethodGet, "/r/none"), []openPage{page(429, "refusal-busy", "none", "Please try again later")}}}
}

// TestOpenPages: each page without a login says in each of its states what it is and what to do next.
func TestOpenPages(t *testing.T) {
	for _, h := range append(loginPages(t), refusalPages(t)...) {
		for _, p := range h.pages {
			t.Run(p.Name, func(t *testing.T) {
				r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+p.Path, nil)
				if p.Fill != nil {
					form := url.Values{"code": {r.URL.Query().Get("code")}, "next": {r.URL.Query().Get("next")}}
					for field, value := range p.Fill {
						form.Set(strings.TrimPrefix(field, "#"), value)
					}
					r = httptest.NewRequest(http.MethodPost, "http://127.0.0.1/login/enter", strings.NewReader(form.Encode()))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				r.Header.Set("Accept", "text/html")
				r.RemoteAddr = "127.0.0.1:1"
				rw := httptest.NewRecorder()
				h.handler.ServeHTTP(rw, r)
				text := strings.Join(strings.Fields(textOf(t, rw.Body.String())), " ")
				switch {
				case rw.Code != p.status:
					t.Errorf("%d, want %d: %s", rw.Code, p.status, text)
				case p.status == http.StatusSeeOther:
				case !strings.Contains(text, p.Says):
					t.Errorf("%q is missing in %s", p.Says, text)
				}
			})
		}
	}
}

// TestBrowserOpen: the pages without a login in Chromium, in the ways of the others, in each of their states: the
// form that logs in is filled in by the keyboard, with and without scripts.
func TestBrowserOpen(t *testing.T) {
	dir, modules, browser := os.Getenv("POSTSEAL_SCREENSHOTS"), os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	if dir == "" || modules == "" || browser == "" || err != nil {
		t.Skip("skipped: POSTSEAL_SCREENSHOTS, POSTSEAL_NODE_MODULES, chromium or node is missing")
	}
	fonts := useFonts(t)
	for _, h := range append(loginPages(t), refusalPages(t)...) {
		t.Run(h.name, func(t *testing.T) {
			server := httptest.NewServer(h.handler)
			defer server.Close()
			var pages []pageOf
			for _, p := range h.pages {
				pages = append(pages, p.pageOf)
			}
			runChecks(t, node, server.URL, dir, browser, map[string]any{"pages": pages})
		})
	}
	if fonts {
		comparePictures(t, dir, browser)
	}
}

var paint = flag.Bool("paint", false, "measure the first paint of Live on a slow phone (make paint)")

// TestFirstPaint: Live is painted within 1.5 s on a slow phone (median of 9), with at most 4 requests and 20 kB. It
// measures this host too, so it is not part of go test.
func TestFirstPaint(t *testing.T) {
	modules, browser := os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	if !*paint || modules == "" || browser == "" || err != nil {
		t.Skip("skipped: -paint, POSTSEAL_NODE_MODULES, chromium or node is missing")
	}
	server := httptest.NewServer(as(handler(&source{db: filled(t), notices: noticed()}), listener.AdminRole))
	defer server.Close()
	out, err := exec.Command(node, "testdata/paint.mjs", server.URL+"/live?follow=0", browser).Output()
	var got struct{ Median, Least, Most, Bytes, Requests int }
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("first paint %d ms (%d to %d), %d bytes, %d requests", got.Median, got.Least, got.Most, got.Bytes, got.Requests)
	if got.Median > 1500 || got.Bytes > 20<<10 || got.Requests > 4 {
		t.Error("the budget is 1500 ms, 20 kB and 4 requests")
	}
}
