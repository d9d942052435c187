package spf_test

import (
	"net/netip"
	"reflect"
	"testing"

	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// TestSameFromEveryResolver: a result does not depend on how the answers come: asked one by
// one, or asked ahead and counted by a query log.
func TestSameFromEveryResolver(t *testing.T) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	domains := []string{"plain", "six", "chain", "to", "toall", "nowhere", "hollow", "late", "twice", "ten", "tab", "case", "split", "void2", "void3", "mx",
		"noimplicit", "down", "ptrdown", "ptr", "exp", "expinc", "expredir", "exp8", "macro", "local", "d", "bücher", "limit", "silent", "missing"}
	for _, d := range domains {
		for _, ip := range []string{"192.0.2.1", "192.0.2.7", "192.0.2.9", "192.0.2.26", "198.51.100.1", "2001:db8::1"} {
			q := spf.Request{IP: netip.MustParseAddr(ip), Helo: "h.test", Sender: "a-b@" + d + ".test"}
			want := (&spf.Checker{Resolver: &asked{Resolver: z}}).Check(t.Context(), q)
			log := middleware.NewQueryLog(t.Context(), &asked{Resolver: z}, resolver.Budget{})
			if got := (&spf.Checker{Resolver: log}).Check(t.Context(), q); !reflect.DeepEqual(got, want) {
				t.Errorf("%s from %s, by a query log: got %+v, want %+v", d, ip, got, want)
			}
			log.Close()
		}
	}
}
