//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestHugeHeader: a header section over the limits ends in a reply that says so, through the
// milter, the milter with the policy service, and the proxy; the connection is not dropped, and
// honest mail continues. Postfix itself cuts a field before it shows it to a milter (60,000
// octets in 3.7), so that a milter sees one that fits.
func TestHugeHeader(t *testing.T) {
	r := newRig(t, `enforce = "strict"`)
	const field, fields, section = "a header field of the message is too large", "the message has too many header fields", "the header section of the message is too large"
	for door, port := range map[string]int{"milter": r.listeners.milter, "both": r.listeners.both, "proxy": r.listeners.proxy} {
		for _, c := range []struct{ name, header, problem string }{
			{"a field of 110 KiB", "X: " + strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 125) + "x\r\n", field},
			{"a line of 110 KiB", "X: " + strings.Repeat("x", 110<<10) + "\r\n", field},
			{"50,000 lines of one field", "X: y" + strings.Repeat("\r\n y", 50000) + "\r\n", field},
			{"20,000 fields", strings.Repeat("X: y\r\n", 20000), fields},
			{"600 KiB in fields that fit", strings.Repeat("X: "+strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 56)+"x\r\n", 12), section},
		} {
			t.Run(door+"/"+c.name, func(t *testing.T) {
				text := letter("accounts@acme.test", "huge")
				got, err := deliver(port, acme.with("huge", c.header+text))
				code, want := 552, "Rejected: "+c.problem+"."
				if c.problem == field && door != "proxy" {
					code, want = 250, ""
				}
				if err != nil || got.code != code || !strings.Contains(got.text, want) {
					t.Errorf("%v, reply %d %s to %s, want %d %s", err, got.code, got.text, got.stage, code, want)
				}
				if got, err := deliver(port, acme.with("honest", text)); err != nil || got.code != 250 {
					t.Errorf("an honest message: %v, reply %d %s", err, got.code, got.text)
				}
			})
		}
	}
}

// TestCutAuthor: an author after the octets at which Postfix cuts a field for a milter is
// either refused, or cut from what arrives too: the author that was judged is the only one.
func TestCutAuthor(t *testing.T) {
	r := newRig(t, `enforce = "strict"`)
	pad := strings.Repeat("\n "+strings.Repeat(" ", 900), 70)
	for door, port := range map[string]int{"milter": r.listeners.milter, "both": r.listeners.both, "proxy": r.listeners.proxy} {
		for name, from := range map[string]string{
			"address as a phrase": "accounts@acme.test" + pad + " <security@bank.test>",
			"second author":       "accounts@acme.test" + pad + ", security@bank.test",
		} {
			t.Run(door+"/"+name, func(t *testing.T) {
				m := acme.with("cut", letter(from, "cut"))
				m.rcpt = door + "-" + strings.ReplaceAll(name, " ", "-") + "-" + m.rcpt
				got, err := deliver(port, m)
				if err != nil || got.code != 250 && got.code != 550 || door == "proxy" && got.code != 550 {
					t.Fatalf("%v, reply %d %s, want a 550, or a 250 after a cut", err, got.code, got.text)
				}
				if got.code == 250 {
					if a := r.sink.to(t, m.rcpt); strings.Contains(a.text, "security@bank.test") {
						t.Errorf("an author arrives that was not judged: %q", a.fields("Authentication-Results"))
					}
				}
			})
		}
	}
}
