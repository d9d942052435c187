package policy

import (
	"net/netip"
	"strings"
	"testing"

	"postseal/spf"
)

// TestReceivedSPFLine: the field is one line of at most 998 octets (RFC 5322 §2.1.1), whatever
// the client and its domain say.
func TestReceivedSPFLine(t *testing.T) {
	for _, char := range []string{"a", `"`, `\`, "(", "\x00", "é"} {
		long := strings.Repeat(char, 2000)
		q := &request{client: netip.MustParseAddr("2001:db8::1234:5678:9abc:def0"), helo: long, sender: long + "@" + long}
		r := spf.Result{Code: spf.PermError, Identity: spf.MailFrom, Domain: long, Problem: long, Mechanism: long}
		a := receivedSPF(r, q, strings.Repeat("m", 250)+".test")
		field, ok := strings.CutPrefix(a.action, "PREPEND ")
		if !ok || len(field) > 998 || strings.ContainsAny(field, "\r\n\x00") {
			t.Errorf("%q: %d octets: %.200q", char, len(field), field)
		}
	}
}
