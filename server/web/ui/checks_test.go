package ui

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/server/listener"
	"postseal/store"
)

// pageOf is a page that the browser opens.
type pageOf struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Says    string `json:"says,omitempty"`    // what its text contains
	Brief   bool   `json:"brief,omitempty"`   // in two forms only, and without back and reload
	Runs    bool   `json:"runs,omitempty"`    // it shows how far something is, and loads itself again
	Alike   bool   `json:"alike,omitempty"`   // it looks like another page, and only its text differs
	Picture bool   `json:"picture,omitempty"` // in POSTSEAL_SCREENSHOTS
	Forced  bool   `json:"forced,omitempty"`  // in forced colors too

	Fill map[string]string `json:"fill"` // what is typed into the fields of its form, which is then sent; nil: it is not
}

// TestBrowserChecks opens each page in Chromium, light and dark, 1280 and 390 px wide: no request
// goes to another origin, nothing is on the console, axe finds nothing (WCAG 2.2 AA and best
// practice), nothing scrolls sideways, also at 200 and 400 %. Without scripts each page says the same;
// Tab reaches all that can be used in the order of reading; a message is found, opened and left by the
// keyboard alone; reload, back and the address in another tab show the same. Each route is among the
// pages, and the states of pageStates are. The pictures go to POSTSEAL_SCREENSHOTS.
func TestBrowserChecks(t *testing.T) {
	dir, modules, browser := os.Getenv("POSTSEAL_SCREENSHOTS"), os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	switch {
	case dir == "" || modules == "":
		t.Skip("skipped: POSTSEAL_SCREENSHOTS and POSTSEAL_NODE_MODULES (with playwright-core and axe-core) name no directories")
	case browser == "" || err != nil:
		t.Skip("skipped: chromium or node is not installed")
	}
	fonts := useFonts(t)
	ref := store.RefText(1000)
	message := pageOf{Name: "message", Path: "/v/" + ref}
	jobs, done, stopped := bulked(t)
	cases := []struct {
		name   string
		source *source
		pages  []pageOf
	}{
		{"full", &source{db: filled(t), watched: watching(t), own: []string{"example.net", "shop.example", "acme.test"}, jobs: jobs, notices: noticed(), evidence: told(), compared: compared(), trial: &Trial{"strict", "treewalk", now, 10, 3, 2}}, []pageOf{{Name: "live", Path: "/live?follow=0"}, {Name: "search", Path: "/search?q=author:bank.test"}, message, {Name: "message-now", Path: message.Path + "?dns=now"},
			{Name: "message-unknown", Path: "/v/ZZZZZZZZ"}, {Name: "search-wrong", Path: "/search?q=authr:x"}, {Name: "whatif", Path: "/whatif"}, {Name: "audit", Path: "/audit/acme.test"}, {Name: "audit-form", Path: "/audit"}, {Name: "audit-history", Path: "/audit/acme.test/history"}, {Name: "watch", Path: "/audit/watch"}, {Name: "bulk", Path: "/bulk"}, {Name: "job", Path: "/bulk/" + done}, {Name: "job-stopped", Path: "/bulk/" + stopped + "?grade=C"}, {Name: "whatif-exempt", Path: "/whatif?b=exempt-" + ref}, {Name: "reports", Path: "/reports"}, {Name: "reports-out", Path: "/reports/out"}}},
		{"reports in", &source{db: reported(t)}, []pageOf{{Name: "reports-domain", Path: "/reports/shop.example"}, {Name: "reports-source", Path: "/reports/shop.example/network:198.51.100.0-24"}, {Name: "reports-received", Path: "/reports/shop.example/received"}, {Name: "report", Path: "/report/30"}}},
		{"reports", &source{db: outgoing(t)}, []pageOf{{Name: "reports-out-full", Path: "/reports/out"}, {Name: "reports-preview", Path: "/reports/out/preview?day=2026-11-28"}, {Name: "report-out", Path: "/reports/out/2026-11-29/shop.example"}}},
		{"system", inspectedSource(t), []pageOf{{Name: "system", Path: "/system?checks=1&name=_dmarc.acme.test&type=TXT"}, {Name: "system-config", Path: "/system/config?key=dns.cache"}, {Name: "system-exempt", Path: "/system/exempt"}}},
		{"trouble", &source{db: filled(t), trouble: "No name server answers."}, []pageOf{{Name: "trouble", Path: "/system", Says: "No name server answers.", Brief: true}}},
	}
	opened := map[string]bool{}
	for _, c := range cases {
		for _, p := range c.pages {
			opened[routeOf(p.Path)] = true
		}
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(as(handler(c.source), listener.AdminRole))
			defer server.Close()
			runChecks(t, node, server.URL, dir, browser, map[string]any{"pages": c.pages, "search": "applied:reject", "keyboard": c.name == "full"})
		})
	}
	for _, r := range Routes(&source{}) {
		if r.Method == http.MethodGet && r.Page && r.Path != "/{$}" && !opened[r.Path] {
			t.Errorf("no page of %s is opened", r.Path)
		}
	}
	checkStates(t, node, dir, browser)
	if !fonts {
		t.Log("skipped: the pictures are not compared: fonts-dejavu-core is not installed")
		return
	}
	comparePictures(t, dir, browser)
}

// routeOf returns the route of a page.
func routeOf(path string) string {
	mux := http.NewServeMux()
	for _, r := range Routes(&source{}) {
		if r.Method == http.MethodGet {
			mux.HandleFunc(r.Path, r.Handler)
		}
	}
	_, pattern := mux.Handler(httptest.NewRequest(http.MethodGet, path, nil))
	return pattern
}

// checkStates opens each page in each of its states, which say what they must.
func checkStates(t *testing.T, node, dir, browser string) {
	was := patience
	patience = 100 * time.Millisecond
	defer func() { patience = was }()
	for _, state := range stateNames {
		t.Run(state, func(t *testing.T) {
			server := httptest.NewServer(as(handler(stated(t, state)), listener.AdminRole))
			defer server.Close()
			var pages []pageOf
			for i := range pageStates {
				if want := wantOf(i, state); want != "" {
					pages = append(pages, pageOf{Name: pageStates[i].name + "-" + state, Path: pageStates[i].path, Says: want, Brief: true, Runs: state == "slow"})
				}
			}
			runChecks(t, node, server.URL, dir, browser, map[string]any{"pages": pages})
		})
	}
}

// runChecks runs the plan in the browser, and reports what it found.
func runChecks(t *testing.T, node, url, dir, browser string, plan map[string]any) {
	t.Helper()
	if only := os.Getenv("POSTSEAL_PAGES"); only != "" { // to look at some pages again while they change
		plan["pages"] = slices.DeleteFunc(plan["pages"].([]pageOf), func(p pageOf) bool { return !slices.Contains(strings.Split(only, ","), p.Name) })
		delete(plan, "keyboard")
	}
	for i := range plan["pages"].([]pageOf) {
		p := &plan["pages"].([]pageOf)[i]
		p.Picture, p.Forced = slices.Contains(goldenPages, p.Name), slices.Contains(forcedPages, p.Name)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "testdata/check.mjs", url, dir, browser)
	cmd.Stdin = bytes.NewReader(text)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errors)
	}
	var problems []string
	if err := json.Unmarshal(out.Bytes(), &problems); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	for _, p := range problems {
		t.Error(p)
	}
}
