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

// TestBrowserKeys presses each single key on the pages in Chromium: what all pages have (/ j k g ?), what one has
// (p [ ] Enter c r e y), never with Ctrl, Alt or Meta or in a field, and not at all once the switch is off (WCAG
// 2.1.4).
func TestBrowserKeys(t *testing.T) {
	modules, browser := os.Getenv("POSTSEAL_NODE_MODULES"), chromium()
	node, err := exec.LookPath("node")
	if modules == "" || browser == "" || err != nil {
		t.Skip("skipped: POSTSEAL_NODE_MODULES names no directory with playwright-core, or node or chromium is not installed")
	}
	jobs, done, _ := bulked(t)
	server := httptest.NewServer(as(handler(&source{db: filled(t), watched: watching(t), jobs: jobs, notices: noticed(), evidence: told(), compared: compared()}), listener.AdminRole))
	defer server.Close()
	plan, err := json.Marshal(map[string]any{"pages": map[string]string{"live": "/live?follow=0", "search": "/search?q=author:bulk.test", "message": "/v/" + store.RefText(1000), "whatif": "/whatif", "audit": "/audit/acme.test",
		"watch": "/audit/watch", "job": "/bulk/" + done, "reports": "/reports", "system": "/system"}})
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
}
