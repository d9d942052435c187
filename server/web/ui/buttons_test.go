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

	"postseal/server/listener"
	"postseal/store"
)

// pressed is what buttons.mjs found: what does nothing, and the labels of the buttons of each page.
type pressed struct {
	Problems []string
	Seen     map[string][]string
}

// TestBrowserButtons reaches each button of each page in Chromium with Tab and presses it with Enter and with Space: each
// does something. What the pages are known to have is among the buttons.
func TestBrowserButtons(t *testing.T) {
	modules, browser := os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	if modules == "" || browser == "" || err != nil {
		t.Skip("skipped: POSTSEAL_NODE_MODULES names no directory with playwright-core, or node or chromium is not installed")
	}
	ref := store.RefText(1000)
	jobs, done, stopped := bulked(t)
	full := &source{db: filled(t), watched: watching(t), own: []string{"example.net", "acme.test"}, jobs: jobs, notices: noticed(), evidence: told(), compared: compared(), trial: &Trial{"strict", "treewalk", now, 10, 3, 2}}
	refused, private := refusalPages(t)[0], told()
	private.Private = PrivateOf(private.Report, "bounce@lists.example.net", []string{"ann@example.net"})
	console := func(s Source) http.Handler { return as(handler(s), listener.AdminRole) }
	for _, c := range []struct {
		name    string
		handler http.Handler
		pages   map[string]string
		want    map[string]string // some of the buttons of a page
	}{
		{"console", console(full), map[string]string{"live": "/live", "paused": "/live?follow=0", "search": "/search?q=author:bulk.test", "message": "/v/" + ref, "audit": "/audit/acme.test", "audit-form": "/audit", "history": "/audit/acme.test/history", "watch": "/audit/watch",
			"bulk": "/bulk", "job": "/bulk/" + done, "stopped": "/bulk/" + stopped, "whatif": "/whatif?a=live&b=exempt-" + ref},
			map[string]string{"live": "Pause Find Exceptions Rejected Deferred Light Dark Log", "paused": "Follow", "search": "Search Export Follow Older", "message": "Copy Run Bundle JSON", "audit": "Stop Share JSON Copy", "watch": "Watch Remove", "bulk": "Audit", "stopped": "Continue Remove CSV", "whatif": "Compare Copy exempt"}},
		{"reports in", console(&source{db: reported(t)}), map[string]string{"domain": "/reports/shop.example", "source": "/reports/shop.example/network:198.51.100.0-24", "received": "/reports/shop.example/received", "report": "/report/30"},
			map[string]string{"domain": "Show Read To Yes"}},
		{"reports out", console(&source{db: outgoing(t)}), map[string]string{"out": "/reports/out", "preview": "/reports/out/preview?day=2026-11-28", "report out": "/reports/out/2026-11-29/shop.example"}, map[string]string{"out": "Preview Send Lift"}},
		{"system", console(inspectedSource(t)), map[string]string{"system": "/system?checks=1&name=_dmarc.acme.test&type=TXT", "config": "/system/config?key=dns.cache", "exempt": "/system/exempt"},
			map[string]string{"system": "Check Look For Copy State", "config": "Reload", "exempt": "Copy as"}},
		{"private", console(&source{db: filled(t), evidence: private}), map[string]string{"message": "/v/" + ref}, map[string]string{"message": "Show For Copy"}},
		{"login", apart(loggingIn(t, openToken, "")), map[string]string{"login": "/login"}, map[string]string{"login": "Log"}},
		{"refusal", refused.handler, map[string]string{"refusal": refused.pages[0].Path}, map[string]string{"refusal": "What The"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			found := pressButtons(t, node, server.URL, browser, c.pages)
			for _, p := range found.Problems {
				t.Error(p)
			}
			for page, words := range c.want {
				for word := range strings.FieldsSeq(words) {
					if !slices.ContainsFunc(found.Seen[page], func(label string) bool { return strings.HasPrefix(label, word) }) {
						t.Errorf("%s has no button %s: %q", page, word, found.Seen[page])
					}
				}
			}
		})
	}
}

func pressButtons(t *testing.T, node, url, browser string, pages map[string]string) (found pressed) {
	t.Helper()
	var list []map[string]string
	for name, path := range pages {
		list = append(list, map[string]string{"name": name, "path": path})
	}
	plan, err := json.Marshal(map[string]any{"pages": list})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "testdata/buttons.mjs", url, browser)
	cmd.Stdin = bytes.NewReader(plan)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &stderr)
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	return found
}
