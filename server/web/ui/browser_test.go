package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/store"
)

// TestBrowser shows each page in a real browser, light, dark and at 390 px: the browser asks
// for nothing but the page and its style, and has nothing to say on its console. The pictures
// go to the directory in POSTSEAL_SCREENSHOTS.
func TestBrowser(t *testing.T) {
	dir := os.Getenv("POSTSEAL_SCREENSHOTS")
	if dir == "" {
		t.Skip("skipped: POSTSEAL_SCREENSHOTS names no directory for the pictures")
	}
	if os.Getenv("POSTSEAL_NODE_MODULES") != "" {
		t.Skip("skipped: TestBrowserChecks does more, since POSTSEAL_NODE_MODULES is set")
	}
	browser := chromium()
	if browser == "" {
		t.Skip("skipped: chromium is not installed (apt-get install chromium)")
	}
	asked := &requests{}
	pages := handler(&source{db: filled(t), notices: noticed(), evidence: told(), compared: compared()})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.add(r.URL.Path)
		pages.ServeHTTP(rw, r)
	}))
	defer server.Close()
	for _, page := range []struct{ name, path string }{{"live", "/live?follow=0"}, {"search", "/search?q=author:bank.test"}, {"message", "/v/" + store.RefText(1000)}, {"audit", "/audit/acme.test"}, {"system", "/system"}, {"whatif", "/whatif"}} {
		for _, form := range []struct {
			name, flag string
			width      int
		}{{"light", "", 1280}, {"dark", "--blink-settings=preferredColorScheme=0", 1280}, {"phone", "", 500}} {
			t.Run(page.name+" "+form.name, func(t *testing.T) {
				asked.reset()
				picture := filepath.Join(dir, page.name+"-"+form.name+".png")
				args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
					"--hide-scrollbars", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir(), fmt.Sprintf("--window-size=%d,1400", form.width), "--screenshot=" + picture}
				if form.flag != "" {
					args = append(args, form.flag)
				}
				cmd := exec.Command(browser, append(args, server.URL+page.path)...)
				cmd.WaitDelay = 20 * time.Second
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for line := range strings.Lines(string(out)) {
					if strings.Contains(line, "CONSOLE") {
						t.Errorf("the console of the browser: %s", line)
					}
				}
				if info, err := os.Stat(picture); err != nil || info.Size() < 10<<10 {
					t.Errorf("no picture: %v", err)
				}
				if odd := asked.odd(page.path); len(odd) > 0 {
					t.Errorf("asked for %v too", odd)
				}
			})
		}
	}
}

// requests are those that a browser made.
type requests struct {
	mu    sync.Mutex
	paths []string
}

func (r *requests) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, path)
}

func (r *requests) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = nil
}

// odd are the requests that a page should not cause.
func (r *requests) odd(page string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	page, _, _ = strings.Cut(page, "?")
	var odd []string
	for _, p := range r.paths {
		if p != page && !strings.HasPrefix(p, "/assets/") {
			odd = append(odd, p)
		}
	}
	return odd
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-headless-shell", "chromium-browser"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
