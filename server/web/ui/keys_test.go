package ui

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"postseal/server/listener"
	"postseal/store"
)

// TestBrowserKeys presses each single key on the pages in Chromium: what all pages have (/ j k g ?), and what one has
// (p [ ] Enter c r e y w 1 7 3). Each that a page shows does something there, never with Ctrl, Alt or Meta or in a field,
// and not at all once the switch is off (WCAG 2.1.4).
func TestBrowserKeys(t *testing.T) {
	modules, browser := os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	if modules == "" || browser == "" || err != nil {
		t.Skip("skipped: POSTSEAL_NODE_MODULES names no directory with playwright-core, or node or chromium is not installed")
	}
	jobs, done, _ := bulked(t)
	full := &source{db: filled(t), watched: watching(t), jobs: jobs, notices: noticed(), evidence: told(), compared: compared()}
	for _, c := range []struct {
		name   string
		source Source
		pages  map[string]string
		must   map[string]string // keys that a page has to show
	}{
		{"console", full, map[string]string{"live": "/live?follow=0", "search": "/search?q=author:bulk.test", "message": "/v/" + store.RefText(1000), "whatif": "/whatif", "audit": "/audit/acme.test",
			"watch": "/audit/watch", "job": "/bulk/" + done, "reports": "/reports", "system": "/system"},
			map[string]string{"live": "jkp", "search": "jk]", "message": "jkcre", "whatif": "jk173", "audit": "jkyw", "watch": "jk", "job": "jk", "system": "jk"}},
		{"reports", &source{db: reported(t)}, map[string]string{"reports-domain": "/reports/shop.example?days=90", "reports-source": "/reports/shop.example/network:198.51.100.0-24"}, map[string]string{"reports-domain": "jk173"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(as(handler(c.source), listener.AdminRole))
			defer server.Close()
			plan, err := json.Marshal(map[string]any{"pages": c.pages, "must": c.must})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(node, "testdata/keys.mjs", server.URL, browser)
			cmd.Stdin = bytes.NewReader(plan)
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
		})
	}
}
