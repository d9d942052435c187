package postseal_test

import (
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/internal/core/reason"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

// TestIndirectFlow: a trait counts only with an intermediary that is authenticated, and a
// List-Id, Sender, Resent or Received field only when it names that organization (RFC 9989
// §7.4, mode guarded).
func TestIndirectFlow(t *testing.T) {
	zone, err := dnstest.Parse(`_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"
acme.test. 60 TXT "v=spf1 -all"
acme.test. 60 MX 10 mx.acme.test.
lists.test. 60 TXT "v=spf1 ip4:192.0.2.7 -all"
other.test. 60 TXT "v=spf1 -all"
7.2.0.192.in-addr.arpa. 60 PTR mx.hoster.test.
mx.hoster.test. 60 A 192.0.2.7
s._domainkey.lists.test. 60 TXT ` + reference.TXT(reference.Record(reference.Ed25519("lists.test"))) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, postseal.Config{Resolver: zone})
	const trace = "Received: from a by mx.lists.test with ESMTP; x\nReceived: from b by pc.acme.test; x\n"
	for _, tt := range []struct {
		name, path, fields string
		signed             bool
		traits             string
	}{
		// Nothing is authenticated: what the message says counts for nothing.
		{"Precedence alone", "x@acme.test", "Precedence: bulk\n", false, ""},
		{"List-Id alone", "x@acme.test", "List-Id: <dev.lists.test>\nList-Post: <mailto:dev@lists.test>\n", false, ""},
		{"everything, SPF of the sender fails", "x@other.test", "List-Id: <dev.other.test>\nPrecedence: list\nResent-From: a@other.test\nSender: a@other.test\n" + trace, false, ""},
		{"ARC of nobody", "x@acme.test", "Content-Type: text/calendar\n", false, ""},
		// An authenticated list.
		{"list, by SPF", "dev-bounces@lists.test", "List-Id: Developers <dev.lists.test>\n", false, "List-Id of the intermediary"},
		{"list, by DKIM", "", "List-Id: Developers <dev.eu.lists.test>\n", true, "List-Id of the intermediary"},
		{"list of another", "x@lists.test", "List-Id: <dev.other.test>\n", false, ""},
		{"Precedence", "x@lists.test", "Precedence: list\n", false, "Precedence: list"},
		{"Sender", "x@lists.test", "Sender: Dev <dev-bounces@lists.test>\n", false, "Sender of the intermediary"},
		{"Sender of another", "x@lists.test", "Sender: ceo@acme.test\n", false, ""},
		{"Resent", "x@lists.test", "Resent-From: x@lists.test\n", false, "Resent fields of the intermediary"},
		{"Resent by another", "x@lists.test", "Resent-From: x@other.test\n", false, ""},
		{"invitation", "x@lists.test", "Content-Type: text/calendar; method=REQUEST\n", false, "calendar message"},
		{"invitation of Exchange", "x@lists.test", "Content-Class: urn:content-classes:calendarmessage\n", false, "calendar message"},
		// A forwarder.
		{"forwarder", "srs0=x=y=acme.test=a@lists.test", trace, false, "several foreign Received"},
		{"forwarder, at the host of its provider", "x@lists.test", strings.ReplaceAll(trace, "mx.lists.test", "mx.hoster.test"), false, "several foreign Received"},
		{"Received of others", "x@lists.test", strings.ReplaceAll(trace, "mx.lists.test", "mx.other.test"), false, ""},
		{"one Received", "x@lists.test", "Received: from a by mx.lists.test with ESMTP; x\n", false, ""},
		{"by in a comment", "x@lists.test", "Received: from a (by mx.lists.test)\nReceived: b\n", false, ""},
		// The author's own organization is not an intermediary.
		{"subdomain of the author", "x@sub.acme.test", "Precedence: list\n", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.ReplaceAll(tt.fields, "\n", "\r\n") + "From: ceo@acme.test\r\nSubject: x\r\n\r\nx\r\n"
			if tt.signed {
				text = reference.DKIM("lists.test", "s", reference.Ed25519("lists.test")).Sign(text)
			}
			r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:25")}, "mx.lists.test", tt.path, strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if got := reason.Signals(postseal.IndirectFlow(r)); got != tt.traits {
				t.Errorf("traits %q, want %q", got, tt.traits)
			}
			want := postseal.Reject
			if tt.traits != "" {
				want = postseal.Quarantine
			}
			if r.Decision.Action != postseal.Reject || r.Decision.Applied != want {
				t.Errorf("%s, applied %s; want %s", r.Decision.Action, r.Decision.Applied, want)
			}
		})
	}
}
