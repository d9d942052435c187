//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestPolicyHeader: by default the policy service records SPF in a field and decides
// nothing.
func TestPolicyHeader(t *testing.T) {
	r := newRig(t, "")
	for _, c := range []struct {
		name string
		mail mail
		want string // beginning of Received-SPF
	}{
		{"pass", acme.with("policy-pass", letter("accounts@acme.test", "p1")), "pass ("},
		{"fail", cheap.sender("security@bank.test").with("policy-fail", letter("security@bank.test", "p2")), "fail ("},
		{"softfail", cheap.sender("news@bulk.test").with("policy-softfail", letter("news@bulk.test", "p3")), "softfail ("},
		{"temperror", cheap.sender("a@down.example").with("policy-temperror", letter("a@down.example", "p4")), "temperror ("},
		{"null sender", acme.sender("").with("policy-null", letter("mailer-daemon@acme.test", "p5")), "pass ("},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := deliver(r.listeners.policy, c.mail)
			if err != nil || got.code != 250 {
				t.Fatalf("reply %+v, %v", got, err)
			}
			fields := r.sink.to(t, c.mail.rcpt).fields("Received-SPF")
			if len(fields) != 1 || !strings.HasPrefix(strings.ToLower(fields[0]), c.want) {
				t.Errorf("Received-SPF %q, want one that begins with %q", fields, c.want)
			}
		})
	}
}

// TestPolicyRefuse: with the configuration for it, the answer comes at RCPT.
func TestPolicyRefuse(t *testing.T) {
	r := newRig(t, "[spf]\nfail = \"reject\"\npermerror = \"reject\"\ntemperror = \"defer\"")
	for _, c := range []struct {
		name  string
		mail  mail
		code  int
		reply string
	}{
		{"pass", acme.with("refuse-pass", letter("accounts@acme.test", "r1")), 250, ""},
		{"fail", cheap.sender("security@bank.test").with("refuse-fail", letter("security@bank.test", "r2")), 550, "5.7.23"},
		{"permerror", cheap.sender("a@broken.example").with("refuse-permerror", letter("a@broken.example", "r3")), 550, "5.7.24"},
		{"temperror", cheap.sender("a@down.example").with("refuse-temperror", letter("a@down.example", "r4")), 450, "4.7.24"}, // by DEFER_IF_PERMIT, which leaves the code to Postfix,
		{"null MX", cheap.sender("a@nomail.example").with("refuse-nullmx", letter("a@nomail.example", "r5")), 550, "5.7.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := deliver(r.listeners.policy, c.mail)
			if err != nil || got.code != c.code || !strings.Contains(got.text, c.reply) {
				t.Fatalf("reply %+v, %v; want %d %s", got, err, c.code, c.reply)
			}
			if c.code != 250 && got.stage != "RCPT" {
				t.Errorf("refused at %s, want RCPT", got.stage)
			}
		})
	}
}
