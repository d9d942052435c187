package postseal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/authres"
	"postseal/resolver/dnstest"
)

// TestJunkSignatures: junk signatures push nothing that counts out of Authentication-Results:
// DMARC comes first, the number of signatures is bounded, the author's own one is among them.
func TestJunkSignatures(t *testing.T) {
	zone, err := dnstest.Parse("_dmarc.a.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: "mx.test"})
	if err != nil {
		t.Fatal(err)
	}
	junk := ""
	for i := range 199 {
		junk += fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; d=junk%d.test; s=s; h=from; bh=AAAA; b=AAAA\r\n", i)
	}
	own := "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=AAAA; b=AAAA\r\n"
	for name, header := range map[string]string{"above": junk + own, "below": own + junk} {
		t.Run(name, func(t *testing.T) {
			r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "h.test", "b@a.test", strings.NewReader(header+"From: x@a.test\r\n\r\nhi\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			value := r.Headers.Add[0].Value
			field, err := authres.Parse([]byte(value))
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, result := range field.Results {
				count[result.Method]++
			}
			if field.Results[0].Method != "dmarc" || count["dkim"] != 20 || count["spf"] != 1 || count["iprev"] != 1 {
				t.Errorf("results %v, want dmarc first, 20 of dkim, spf and iprev:\n%s", count, value)
			}
			for _, want := range []string{"header.d=a.test", "(180 more signatures not listed)"} {
				if !strings.Contains(value, want) {
					t.Errorf("want %q in\n%s", want, value)
				}
			}
		})
	}
}
