package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

// TestBrowserLive follows a daemon in Chromium: three viewers see each frame once and in order, eight
// tabs share one connection and hidden ones have none, the keyboard leads from / to a rejected message,
// its copy and back to its row, and a change of a watched domain is shown and notified.
func TestBrowserLive(t *testing.T) {
	modules := os.Getenv("POSTSEAL_NODE_MODULES")
	node, err := exec.LookPath("node")
	browser, errBrowser := exec.LookPath("chromium")
	if modules == "" || err != nil || errBrowser != nil {
		t.Skip("skipped: POSTSEAL_NODE_MODULES names no directory with playwright-core, or node or chromium is not installed")
	}
	b := newWatchedDaemon(t)
	control := httptest.NewServer(b.routes())
	defer control.Close()
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "testdata/live.mjs", "http://"+b.Addr(listener.HTTP).String(), control.URL, token, browser)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &stderr)
	}
	var problems []string
	if err := json.Unmarshal(out.Bytes(), &problems); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	for _, p := range problems {
		t.Error(p)
	}
	t.Log(stderr.String())
}

// watchedDaemon is a daemon whose clock and zone a browser test moves.
type watchedDaemon struct {
	*daemonUnderTest
	ahead atomic.Int64 // of the clock, in hours
	zone  atomic.Pointer[dnstest.Zone]
	told  string // the file that the notification is written to
	sent  int
}

// Lookup implements resolver.Resolver.
func (b *watchedDaemon) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return b.zone.Load().Lookup(ctx, name, t)
}

func newWatchedDaemon(t *testing.T) *watchedDaemon {
	state := t.TempDir()
	t.Setenv("STATE_DIRECTORY", state)
	b := &watchedDaemon{told: filepath.Join(state, "told")}
	b.use(t, "v=DMARC1; p=none")
	program := filepath.Join(state, "tell")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat > '"+b.told+".new' && mv '"+b.told+".new' '"+b.told+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.daemonUnderTest = runWith(t, listeners+"[notify]\ncommand = ['"+program+"']\n", Options{Resolver: b, Now: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load()) * time.Hour) }})
	return b
}

// use makes a policy the one of watched.test. Its records have no time to live, so no cache keeps them.
func (b *watchedDaemon) use(t testing.TB, policy string) {
	names, err := dnstest.Parse(zone + "watched.test. 0 TXT \"v=spf1 -all\"\n_dmarc.watched.test. 0 TXT \"" + policy + "\"\n")
	if err != nil {
		t.Fatal(err)
	}
	b.zone.Store(names)
}

// routes are what live.mjs asks for.
func (b *watchedDaemon) routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, f func(r *http.Request) any) {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) { json.NewEncoder(rw).Encode(f(r)) }) //nolint:errcheck // the client is gone
	}
	answer("/send", func(r *http.Request) any {
		refs := []string{}
		n, _ := strconv.Atoi(r.FormValue("n")) //nolint:errcheck // it is a number
		for range n {
			b.sent++
			author := fmt.Sprintf("a%d.test", b.sent) // each another, so that none repeats the one before
			if r.FormValue("reject") != "" {
				author = "reject.test"
			}
			refs = append(refs, b.post("ip=192.0.2.1&helo=x.test&from=secret-local-part@"+author, fmt.Sprintf("From: secret-local-part@%s\nMessage-ID: <%d@x.test>\n\nx\n", author, b.sent))["ref"].(string))
		}
		return map[string]any{"refs": refs}
	})
	answer("/report", func(r *http.Request) any { return map[string]any{"xml": aboutDomain(r.FormValue("domain"))} })
	answer("/change", func(*http.Request) any {
		b.wait(func() bool { e, ok := b.audits.watch.Of("watched.test"); return ok && !e.Checked.IsZero() })
		b.use(b.t, "v=DMARC1; p=reject")
		b.ahead.Store(25)
		b.do("PUT", "/v1/watch/watched.test", "") // wakes the list
		b.wait(func() bool { return len(b.audits.watch.News(b.audits.d.history.now().Add(-time.Hour))) > 0 })
		return map[string]any{}
	})
	answer("/notified", func(*http.Request) any {
		var text []byte
		b.wait(func() bool { text, _ = os.ReadFile(b.told); return strings.Contains(string(text), "watched.test") })
		return map[string]any{"text": string(text)}
	})
	return mux
}

// wait waits for a condition.
func (b *watchedDaemon) wait(f func() bool) {
	for end := time.Now().Add(time.Minute); !f() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}
