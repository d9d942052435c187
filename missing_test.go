package postseal_test

import (
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/resolver/dnstest"
)

// TestMissingInput: a client address or reverse-path that is not known leaves DMARC undecided
// where SPF could have passed, and only there.
func TestMissingInput(t *testing.T) {
	dns, err := dnstest.Parse(`
acme.test.        60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"
other.test.       60 TXT "v=spf1 ip4:192.0.2.1 -all"
`)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, postseal.Config{Resolver: dns, Enforce: postseal.Strict})
	client := postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.7:1")}
	unknown := client
	unknown.UnknownSender = true
	for _, tt := range []struct {
		name       string
		conn       postseal.Conn
		helo, from string
		result     dmarc.Code
		problem    string
	}{
		{"all is known", client, "x.test", "a@acme.test", dmarc.Fail, ""},
		{"no client, aligned path", postseal.Conn{}, "x.test", "a@acme.test", dmarc.TempError, "client address"},
		{"no client, path of another domain", postseal.Conn{}, "x.test", "a@other.test", dmarc.Fail, ""},
		{"no client, path that is none", postseal.Conn{}, "x.test", "a@[192.0.2.1]", dmarc.Fail, ""},
		{"no client, null path, aligned HELO", postseal.Conn{}, "acme.test", "", dmarc.TempError, "client address"},
		{"no client, null path, other HELO", postseal.Conn{}, "other.test", "", dmarc.Fail, ""},
		{"nothing is known", postseal.Conn{}, "", "", dmarc.TempError, "client address"},
		{"path is not known", unknown, "x.test", "", dmarc.TempError, "reverse-path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := postseal.VerifyReader(t.Context(), v, tt.conn, tt.helo, tt.from, strings.NewReader("From: a@acme.test\r\n\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if r.DMARC.Code != tt.result || !strings.Contains(r.DMARC.Problem, tt.problem) {
				t.Errorf("DMARC = %s (%s), want %s (%s)", r.DMARC.Code, r.DMARC.Problem, tt.result, tt.problem)
			}
			if undecided := tt.result == dmarc.TempError; undecided != (r.Decision.Action == postseal.Defer) {
				t.Errorf("Action = %s", r.Decision.Action)
			}
		})
	}
}
