//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestHugeHeader: a header section beyond the limits ends in a reply that says so, through
// the milter, the milter behind the policy service, and the proxy; the connection is not
// dropped, and honest mail goes on. Postfix itself cuts a field before it shows it to a milter
// (60,000 octets in 3.7), which then is one that fits.
func TestHugeHeader(t *testing.T) {
	r := newRig(t, `enforce = "strict"`)
	for door, port := range map[string]int{"milter": r.doors.milter, "both": r.doors.both, "proxy": r.doors.proxy} {
		for name, header := range map[string]string{
			"a field of 70 KiB":         "X: " + strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 80) + "x\r\n",
			"a line of 70 KiB":          "X: " + strings.Repeat("x", 70<<10) + "\r\n",
			"20,000 fields":             strings.Repeat("X: y\r\n", 20000),
			"50,000 lines of one field": "X: y" + strings.Repeat("\r\n y", 50000) + "\r\n",
		} {
			t.Run(door+"/"+name, func(t *testing.T) {
				text := letter("accounts@acme.test", "huge")
				got, err := deliver(port, acme.with("huge", header+text))
				if cut := strings.HasSuffix(name, "of 70 KiB") && door != "proxy"; cut && err == nil && got.code == 250 {
					return
				}
				if err != nil || got.code != 552 || !strings.Contains(got.text, "Rejected: the header section of the message is too large") {
					t.Errorf("%v, reply %d %s to %s, want a 552 in words", err, got.code, got.text, got.stage)
				}
				if got, err := deliver(port, acme.with("honest", text)); err != nil || got.code != 250 {
					t.Errorf("an honest message: %v, reply %d %s", err, got.code, got.text)
				}
			})
		}
	}
}
