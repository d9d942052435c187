//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestHarness: Postfix alone relays to the sink, octet for octet.
func TestHarness(t *testing.T) {
	d, s := newListeners(t), newSink(t)
	newPostfix(t, d, s.port).start(t)
	m := mail{helo: "probe.test", from: "a@acme.test", rcpt: "smoke@example.net",
		text: "From: a@acme.test\r\nDate: Mon, 2 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\nSubject:  odd \t space\r\n\r\n.dot\r\nend\r\n"}
	r, err := deliver(d.after, m)
	if err != nil || r.code != 250 {
		t.Fatalf("deliver = %+v, %v", r, err)
	}
	if got := s.to(t, m.rcpt); !strings.HasSuffix(got.text, m.text) || got.from != m.from {
		t.Errorf("arrived %+v, want the end %q", got, m.text)
	}
}
