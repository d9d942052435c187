package audit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"postseal/audit"
	"postseal/domain"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// BenchmarkAudit is the CPU of one audit and its JSON, with answers that cost nothing but a
// look into a map.
func BenchmarkAudit(b *testing.B) {
	var z strings.Builder
	z.WriteString("$TTL 3600\n_spf.s.test. TXT \"v=spf1 include:_a.s.test include:_b.s.test ~all\"\n_a.s.test. TXT \"v=spf1 ip4:192.0.2.1 ~all\"\n_b.s.test. TXT \"v=spf1 ip4:198.51.100.1 ~all\"\n")
	const n = 100
	for i := range n {
		fmt.Fprintf(&z, "d%d.test. TXT \"v=spf1 mx include:_spf.s.test -all\"\nd%d.test. MX 10 mx1.d%d.test.\nd%d.test. MX 20 mx2.d%d.test.\nmx1.d%d.test. A 10.1.0.%d\nmx2.d%d.test. A 10.2.0.%d\n", i, i, i, i, i, i, i, i, i)
		fmt.Fprintf(&z, "%d.0.1.10.in-addr.arpa. PTR mx1.d%d.test.\n_dmarc.d%d.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@d%d.test\"\nd%d.test. NS ns1.s.test.\nns1.s.test. A 203.0.113.1\n", i, i, i, i, i)
	}
	zone, err := dnstest.Parse(z.String())
	if err != nil {
		b.Fatal(err)
	}
	a := &audit.Auditor{Resolver: resolver.NewCache(zone, resolver.CacheOptions{})}
	e := json.NewEncoder(io.Discard)
	queries := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r := a.Audit(b.Context(), domain.Name(fmt.Sprintf("d%d.test", i%n)), audit.Options{})
		queries += r.Cost.DNSQueries
		if err := e.Encode(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(queries)/float64(b.N), "queries/domain")
}
