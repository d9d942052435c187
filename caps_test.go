package postseal_test

import (
	"fmt"
	"strings"
	"testing"

	"postseal"
	"postseal/lab/reference"
)

// capsZone is a victim with an enforced policy, and a forger who has all that a domain can have.
func capsZone(more ...string) []string {
	key := func(d string) string {
		return "s._domainkey." + d + ". TXT " + reference.TXT(reference.Record(reference.Ed25519(d)))
	}
	return append([]string{`_dmarc.victim.test. TXT "v=DMARC1; p=reject"`, `victim.test. TXT "v=spf1 ip4:192.0.2.9 -all"`, key("victim.test"),
		`evil.test. TXT "v=spf1 +all"`, key("evil.test")}, more...)
}

// TestCaps drives each limit of a message over its bound, with a forgery after the filler: no
// forgery is accepted, in the mode in which an unknown would be accepted. If the filler can
// occur in honest mail, or can be added to it on the way, honest mail with the same filler
// passes.
func TestCaps(t *testing.T) {
	const forged = "From: Dana <dana@victim.test>\r\nTo: x@rcpt.test\r\nSubject: s\r\nDate: Mon, 5 Jan 2026 00:00:00 +0000\r\n\r\nhello\r\n"
	signed := func(d, text string) string { return reference.DKIM(d, "s", reference.Ed25519(d)).Sign(text) }
	junk := func(n int) (text string) {
		for i := range n {
			text += fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; d=j%d.test; s=s; h=from; bh=AAAA; b=AAAA\r\n", i)
		}
		return text
	}
	repeat := func(n int, form string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	chain := func(n int) string {
		sets := make([]reference.Set, n)
		for i := range sets {
			sets[i] = reference.Set{Domain: "evil.test", Selector: "s", Key: reference.Ed25519("evil.test"), Results: "x; dmarc=pass header.from=victim.test", Time: 1767571100}
		}
		return reference.SealAll(forged, sets...)
	}
	deep := strings.Repeat("a.", 40) + "victim.test"
	for _, tt := range []struct {
		name   string
		forged string
		honest string // "" where a sender of honest mail has no such message
		lines  []string
	}{
		{name: "octets of the header section", forged: repeat(9, "X%d: "+strings.Repeat("x", 60_000)+"\r\n") + forged},
		{name: "header fields", forged: repeat(2100, "X%d: y\r\n") + forged},
		{name: "octets of a field", forged: "X: " + strings.Repeat("x", 110_000) + "\r\n" + forged},
		{name: "the same, of From itself", forged: "From: " + strings.Repeat(" ", 110_000) + "dana@victim.test\r\n\r\nx\r\n"},
		{name: "mailboxes", forged: "From: " + repeat(600, "a%d@evil.test, ") + "dana@victim.test\r\n\r\nx\r\n"},
		{name: "author domains", forged: "From: " + repeat(6, "a@e%d.test, ") + "dana@victim.test\r\n\r\nx\r\n"},
		{name: "comments in From", forged: "From: " + strings.Repeat("(", 20_000) + "a@evil.test" + strings.Repeat(")", 20_000) + " <dana@victim.test>\r\n\r\nx\r\n"},
		{name: "signatures that are evaluated", forged: junk(15) + signed("evil.test", forged), honest: junk(15) + signed("victim.test", forged)},
		{name: "signatures that are read", forged: junk(500) + signed("evil.test", forged), honest: junk(500) + signed("victim.test", forged)},
		{name: "the same below", forged: strings.Replace(signed("evil.test", forged), "\r\nTo:", "\r\n"+junk(500)+"To:", 1), honest: strings.Replace(signed("victim.test", forged), "\r\nTo:", "\r\n"+junk(500)+"To:", 1)},
		{name: "names in h=", forged: reference.DKIM("victim.test", "s", reference.Ed25519("evil.test")).With("h=From", "h=From"+repeat(1100, ":X%d")).Sign(forged), honest: ""},
		{name: "tags of a list", forged: reference.DKIM("victim.test", "s", reference.Ed25519("evil.test")).With("v=1;", "v=1;"+repeat(120, " x%d=y;")).Sign(forged)},
		{name: "key records", forged: signed("evil.test", forged), lines: []string{
			"s._domainkey.victim.test. TXT " + reference.TXT("v=DKIM1; p="), "s._domainkey.victim.test. TXT " + reference.TXT("v=DKIM1; p=AAAA"), "s._domainkey.victim.test. TXT x"}},
		{name: "ARC Sets", forged: chain(52)},
		{name: "the work of a chain", forged: chain(50)},
		{name: "names of the DNS Tree Walk", forged: strings.Replace(forged, "dana@victim.test", "dana@"+deep, 1), honest: signed("victim.test", strings.Replace(forged, "dana@victim.test", "dana@"+deep, 1))},
		{name: "identifiers that DMARC aligns", forged: func() string {
			text := forged
			for i := range 12 {
				d := fmt.Sprintf("e%d.test", i)
				text = signed(d, text)
			}
			return text
		}(), lines: func() (lines []string) {
			for i := range 12 {
				d := fmt.Sprintf("e%d.test", i)
				lines = append(lines, "s._domainkey."+d+". TXT "+reference.TXT(reference.Record(reference.Ed25519(d))))
			}
			return lines
		}()},
		{name: "SPF terms and void lookups", forged: forged, lines: []string{"helo.evil.test. TXT \"v=spf1" + repeat(12, " a:v%d.evil.test") + " +all\""}},
		{name: "octets of an SPF record", forged: forged, lines: []string{"helo.evil.test. TXT " + reference.TXT("v=spf1 "+strings.Repeat("ip4:192.0.2.1 ", 900)+"+all")}},
		{name: "PTR names", forged: forged, lines: strings.Split(strings.TrimSpace(repeat(40, "66.113.0.203.in-addr.arpa. PTR p%d.victim.test.\n")), "\n")},
		{name: "aliases", forged: forged, lines: strings.Split(strings.TrimSpace("s._domainkey.evil2.test. CNAME c0.evil.test.\n"+repeat(30, "c%[1]d.evil.test. CNAME d%[1]d.evil.test.\n")), "\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := deliver(t, capsZone(tt.lines...), "203.0.113.66", "helo.evil.test", "a@evil.test", tt.forged)
			if r.Decision.Applied != postseal.Reject {
				t.Errorf("a forgery is let in: %s", r)
			}
			if tt.honest == "" {
				return
			}
			if r := deliver(t, capsZone(tt.lines...), "203.0.113.66", "helo.evil.test", "a@evil.test", tt.honest); r.Decision.Applied != postseal.Accept || r.DMARC.Code != "pass" {
				t.Errorf("honest mail is not let in: %s", r)
			}
		})
	}
}
