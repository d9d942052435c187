package inbox

import (
	"fmt"
	"strings"
	"testing"

	"postseal/report"
	"postseal/resolver/dnstest"
)

// TestAskWho: the name of an address counts only if it has the address; what the SPF record and the records of
// reports say is next to it.
func TestAskWho(t *testing.T) {
	zone, err := dnstest.Parse(`
shop.test. 60 TXT "v=spf1 include:spf.bulk.test -all"
spf.bulk.test. 60 TXT "v=spf1 ip4:192.0.2.0/24 -all"
1.2.0.192.in-addr.arpa. 60 PTR out.bulk.test.
out.bulk.test. 60 A 192.0.2.1
2.2.0.192.in-addr.arpa. 60 PTR mx.bank.test.
mx.bank.test. 60 A 203.0.113.1
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, ip, want string }{
		{"confirmed", "192.0.2.1", "out.bulk.test true bulk.test, 192.0.2.0/24, pass shop.test spf.bulk.test ip4:192.0.2.0/24, "},
		{"claimed", "192.0.2.2", "mx.bank.test false , 192.0.2.0/24, pass shop.test spf.bulk.test ip4:192.0.2.0/24, "},
		{"no name", "203.0.113.9", " false , 203.0.113.0/24, fail shop.test all, the address has no name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Detail{Domain: "shop.test", Source: SourceSum{IP: c.ip}, claims: newClaims()}
			d.claims.add(&report.Record{Count: 3, AuthSPF: []report.SPFAuth{{Domain: "A.test", Result: "softfail"}}, AuthDKIM: []report.DKIMAuth{{Domain: "k.test", Result: "fail"}}})
			d.claims.add(&report.Record{Count: 4, AuthSPF: []report.SPFAuth{{Domain: "b.test", Result: "pass"}, {Domain: "", Result: "none"}}})
			d.AskWho(t.Context(), zone)
			w := d.Who
			if got := fmt.Sprintf("%s %v %s, %s, %s %s %s, %s", w.Name, w.Confirmed, w.Organization, w.Network, w.SPF, strings.Join(w.SPFPath, " "), w.Mechanism, w.Why); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if fmt.Sprint(w.MailFrom, w.Signers) != "[{b.test pass 4} {a.test softfail 3}] [{k.test fail 3}]" || d.Source.InSPF != w.SPF {
				t.Error(w.MailFrom, w.Signers, d.Source.InSPF)
			}
		})
	}
	d := &Detail{Domain: "shop.test", Source: SourceSum{IP: "192.0.2.1"}, claims: newClaims()}
	if d.AskWho(t.Context(), nil); d.Who == nil || d.Who.Why != "the DNS was not asked" {
		t.Errorf("without a resolver: %+v", d.Who)
	}
	d = &Detail{Domain: "shop.test", Source: SourceSum{IP: "192.0.2.1", Folded: 3}, claims: newClaims()}
	if d.AskWho(t.Context(), zone); d.Who != nil {
		t.Errorf("of many: %+v", d.Who)
	}
}
