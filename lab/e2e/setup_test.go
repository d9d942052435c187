//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSetupAndDoctor: the rig's Postfix is set up by postseal itself; doctor sees that all
// is well, and what is wrong when it is; undo leaves no trace.
func TestSetupAndDoctor(t *testing.T) {
	r := newRig(t, "")
	doctor := []string{"doctor", "--config", r.config, "--config-dir", r.postfix.etc, "--resolver", r.dns.Addr()}
	out := r.postseal(t, 0, append(doctor, "--send", "doctor@example.net", "--from", "security@bank.test", "--smtp", fmt.Sprintf("127.0.0.1:%d", r.listeners.both))...)
	for _, want := range []string{"milter answers", "policy answers", "http ready", "asks the milter", "mode guarded",
		"unsigned and from 203.0.113.7", "550-5.7.26 Rejected: this message fails DMARC, and bank.test asks receivers to reject such mail", "SPF: fail for bank.test.", "took a test message for doctor@example.net"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) { // doctor wraps its lines
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	if a := r.sink.to(t, "doctor@example.net"); len(a.fields("Authentication-Results")) != 0 {
		t.Errorf("a trusted client was checked: %s", a.text)
	}
	if out := r.postseal(t, 0, "setup", "postfix", "--config", r.config, "--config-dir", r.postfix.etc, "--with-policy", "--apply"); !strings.Contains(out, "# nothing to change") {
		t.Errorf("a second --apply:\n%s", out)
	}
	r.stop()
	if out := r.postseal(t, 69, doctor...); !strings.Contains(out, "does not answer") {
		t.Errorf("doctor without a daemon:\n%s", out)
	}
	before, err := os.ReadFile(filepath.Join(r.postfix.etc, "main.cf.before-postseal"))
	if err != nil {
		t.Fatal(err)
	}
	r.postseal(t, 0, "setup", "postfix", "--config-dir", r.postfix.etc, "--undo")
	if after, err := os.ReadFile(filepath.Join(r.postfix.etc, "main.cf")); err != nil || string(after) != string(before) {
		t.Errorf("--undo: %v; main.cf is\n%s", err, after)
	}
}
