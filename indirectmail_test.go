package postseal_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// TestIndirectMail: mail made by a real Mailman 3.3.8 and a real Postfix forwarder, with and
// without postsrsd 1.10. An honest message of an author with p=reject is quarantined, unless
// the forwarder authenticates nothing, because that looks the same as a forgery.
func TestIndirectMail(t *testing.T) {
	zone, err := dnstest.Parse(`_dmarc.bank.example. 60 TXT "v=DMARC1; p=reject"
bank.example. 60 TXT "v=spf1 ip4:198.51.100.0/24 -all"
bank.example. 60 MX 10 mail.bank.example.
s._domainkey.bank.example. 60 TXT "v=DKIM1; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtH8eRVIqDXEHx/zvvPvwQ9XAyVQkqVOezj1Hxg7Km1rKoWFpeS60nkuu2OvDghaQFpHM6az2jFqQI725lc4sFcO1MAtFCCstCS72t5QuE4/jz6JeJwsAAVSVp8IeDgZmsk5iPqKsehby6lX0E9PGHyl9yRrM" "5klOjIR0WzyubQ3TY8U0NPUJ2UPxXFFxNOhbDURTA+NsiUptlUzPDhnp8wbXUsDkZMEgGTmE4dZx0oWp9mfNJJHONujFGgG6vVDLl8iQpr/CRUU5ZbqE8BaRhzuSjKPEIIABV4STpju44AGbMZCNdcDcUHWrF5ujmPN0How06s/QLF5EvaDMG+hQwQIDAQAB"
lists.example. 60 TXT "v=spf1 ip4:192.0.2.7 -all"
fwd.example. 60 TXT "v=spf1 ip4:192.0.2.7 -all"
7.2.0.192.in-addr.arpa. 60 PTR mx.fwd.example.
mx.fwd.example. 60 A 192.0.2.7
`)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, postseal.Config{Resolver: zone, Now: func() time.Time { return time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC) }})
	for _, tt := range []struct {
		file, path string
		applied    postseal.Action
	}{
		{"mailman-signed", "dev-bounces@lists.example", postseal.Quarantine},
		{"mailman-unsigned", "dev-bounces@lists.example", postseal.Quarantine},
		{"postfix-srs", "SRS0=P7AZ=JT=bank.example=ceo@fwd.example", postseal.Quarantine},
		{"postfix-forwarded", "ceo@bank.example", postseal.Reject}, // authenticates nothing
	} {
		f, err := os.Open("testdata/indirect/" + tt.file + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:25")}, "mx.fwd.example", tt.path, message.NewCRLFReader(f))
		if err != nil {
			t.Fatal(err)
		}
		if r.DMARC.Code != dmarc.Fail || r.Decision.Applied != tt.applied {
			t.Errorf("%s: dmarc=%s, applied %s (%v); want %s", tt.file, r.DMARC.Code, r.Decision.Applied, postseal.IndirectFlow(r), tt.applied)
		}
	}
}
