package postseal_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/bundle"
	"postseal/resolver/dnstest"
)

const relayZone = `
reject.test.        300 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.reject.test. 300 TXT "v=DMARC1; p=reject"
`

// TestRelayResults: the results of a relay override a policy if the relay wrote them: above its
// Received field, with its authserv-id, in mail that comes from it.
func TestRelayResults(t *testing.T) {
	const received = "Received: from x.test (x.test [203.0.113.7]) by gw.example.net with ESMTP id 1; Mon, 2 Nov 2026 08:30:00 +0000\r\n"
	const from = "From: a@reject.test\r\n"
	result := func(id, text string) string { return "Authentication-Results: " + id + "; " + text + "\r\n" }
	pass := result("gw.example.net", "dmarc=pass header.from=reject.test")
	relay := postseal.Conn{Relays: 1, Results: "gw.example.net"}
	for _, test := range []struct {
		name    string
		conn    postseal.Conn
		header  string
		want    postseal.Action
		removed int
	}{
		{"dmarc=pass", relay, pass + received + from, postseal.Accept, 0},
		{"id in capitals", relay, result("GW.example.NET", "dmarc=pass header.from=a@REJECT.test") + received + from, postseal.Accept, 0},
		{"dkim=pass of the author, no dmarc", relay, result("gw.example.net", "dkim=pass header.d=reject.test; spf=fail smtp.mailfrom=a@reject.test") + received + from, postseal.Accept, 0},
		{"spf=pass of the author, no dmarc", relay, result("gw.example.net", "spf=pass smtp.mailfrom=b@reject.test") + received + from, postseal.Accept, 0},
		{"in two fields", relay, result("gw.example.net", "spf=fail smtp.mailfrom=b@reject.test") + pass + received + from, postseal.Accept, 0},
		{"two hops of relays", postseal.Conn{Relays: 2, Results: "gw.example.net"}, received + pass + received + from, postseal.Accept, 0},

		{"dmarc=fail, dkim=pass", relay, result("gw.example.net", "dmarc=fail header.from=reject.test; dkim=pass header.d=reject.test") + received + from, postseal.Reject, 0},
		{"dmarc=pass and dmarc=fail", relay, pass + result("gw.example.net", "dmarc=fail header.from=reject.test") + received + from, postseal.Reject, 0},
		{"another author", relay, result("gw.example.net", "dmarc=pass header.from=other.test") + received + from, postseal.Reject, 0},
		{"dkim=pass of another domain", relay, result("gw.example.net", "dkim=pass header.d=other.test") + received + from, postseal.Reject, 0},
		{"dkim=pass of a subdomain", relay, result("gw.example.net", "dkim=pass header.d=x.reject.test") + received + from, postseal.Reject, 0},
		{"spf=pass of HELO", relay, result("gw.example.net", "spf=pass smtp.helo=reject.test") + received + from, postseal.Reject, 0},
		{"another id", relay, result("gw.example.org", "dmarc=pass header.from=reject.test") + received + from, postseal.Reject, 0},
		{"our own id", relay, result("mx.example.net", "dmarc=pass header.from=reject.test") + received + from, postseal.Reject, 1},
		{"version 2", relay, result("gw.example.net 2", "dmarc=pass header.from=reject.test") + received + from, postseal.Reject, 1},
		{"unreadable", relay, result("gw.example.net", "dmarc=pass header.from=reject.test; (") + received + from, postseal.Reject, 1},
		{"below Received", relay, received + pass + from, postseal.Reject, 1},
		{"below Received, and one above", relay, result("gw.example.net", "dmarc=fail header.from=reject.test") + received + pass + from, postseal.Reject, 1},
		{"below a second Received", relay, received + received + pass + from, postseal.Reject, 1},
		{"a relay that adds no Received", relay, pass + from, postseal.Reject, 1},
		{"the relay's trace is not read", postseal.Conn{Results: "gw.example.net"}, pass + received + from, postseal.Reject, 1},
		{"a relay without results", postseal.Conn{Relays: 1}, pass + received + from, postseal.Reject, 1},
		{"another client", postseal.Conn{}, pass + received + from, postseal.Reject, 1},
		{"the id of another relay", relay, result("gw2.example.net", "dmarc=pass header.from=reject.test") + received + from, postseal.Reject, 1},
		{"no author", relay, pass + received, postseal.Reject, 0},
	} {
		t.Run(test.name, func(t *testing.T) { checkRelayResults(t, test.conn, test.header, test.want, test.removed) })
	}
}

func checkRelayResults(t *testing.T, conn postseal.Conn, header string, want postseal.Action, removed int) {
	dns, err := dnstest.Parse(relayZone)
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns, Enforce: postseal.Strict,
		RelayResults: []string{"gw.example.net", "gw2.example.net"}})
	if err != nil {
		t.Fatal(err)
	}
	conn.Remote = netip.MustParseAddrPort("203.0.113.7:25")
	text := header + "Subject: x\r\n\r\nbody\r\n"
	r, err := postseal.VerifyReader(context.Background(), v, conn, "x.test", "b@reject.test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.Decision.Applied != want || len(r.Headers.Remove) != removed {
		t.Errorf("%s, removed %v; want %s, %d", r.Decision.Applied, r.Headers.Remove, want, removed)
	}
	if o := r.Decision.Override; want == postseal.Accept && (o == nil || o.Type != postseal.TrustedForwarder || !strings.HasPrefix(o.Comment, "results of the relay gw.example.net: ")) {
		t.Errorf("override %+v", o)
	}
	for name, o := range map[string]bundle.Options{"redacted": {}, "whole": {Message: []byte(text)}} {
		b, err := bundle.Parse(bundle.Of(r, v, o).Format())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := b.Run(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again.Decision.Applied != want || len(again.Headers.Remove) != removed {
			t.Errorf("the %s bundle: %s, removed %v; want %s, %d", name, again.Decision.Applied, again.Headers.Remove, want, removed)
		}
	}
}
