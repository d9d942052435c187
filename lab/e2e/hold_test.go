//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHold: quarantine may mean Postfix's hold queue; the message lies there with our verdict,
// and other mail continues.
func TestHold(t *testing.T) {
	r := newRig(t, "[dmarc]\nquarantine_with = \"hold\"")
	got, err := deliver(r.listeners.milter, cheap.with("held", letter("hello@shop.example", "held")))
	if err != nil || got.code != 250 {
		t.Fatalf("reply %+v, %v", got, err)
	}
	files, err := filepath.Glob(filepath.Join(r.postfix.spool, "hold", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the hold queue has %q, %v", files, err)
	}
	text, err := exec.Command("postcat", "-c", r.postfix.etc, files[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "X-Postseal-Verdict: quarantine; ref=") || !strings.Contains(string(text), "Authentication-Results: mx.example.net;") {
		t.Errorf("postcat: %v\n%s", err, text)
	}
	if got, err := deliver(r.listeners.milter, cheap.with("passing", letter("sam@nodmarc.example", "passing"))); err != nil || got.code != 250 {
		t.Errorf("reply %+v, %v", got, err)
	}
	r.sink.to(t, "passing@example.net")
	for _, a := range r.sink.all() {
		if a.rcpt == "held@example.net" {
			t.Error("the held message was delivered")
		}
	}
}
