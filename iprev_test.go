package postseal

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// asked records questions.
type asked struct {
	resolver.Resolver
	seen []string
}

func (a *asked) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a.seen = append(a.seen, t.String()+" "+name)
	return a.Resolver.Lookup(ctx, name, t)
}

// TestIPRevQuestions: the names of an address are capped at ten, and only addresses of its
// family are asked for (RFC 8601 §3).
func TestIPRevQuestions(t *testing.T) {
	var text strings.Builder
	for i := range 12 {
		fmt.Fprintf(&text, "1.2.0.192.in-addr.arpa. PTR n%d.test.\nn%[1]d.test. A 198.51.100.%[1]d\n", i)
	}
	zone, err := dnstest.Parse(text.String())
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{Resolver: zone}
	if got := checkIPRev(t.Context(), a, netip.MustParseAddr("192.0.2.1")); got.Code != IPRevFail || got.Name != "n0.test" {
		t.Errorf("got %+v", got)
	}
	if got, want := strings.Join(a.seen, ", "), "PTR 1.2.0.192.in-addr.arpa, A n0.test, A n1.test, A n2.test, A n3.test, A n4.test, A n5.test, A n6.test, A n7.test, A n8.test, A n9.test"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}
