package postseal_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"postseal"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// asked records questions.
type asked struct {
	resolver.Resolver

	mu   sync.Mutex
	seen []string
}

func (a *asked) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a.mu.Lock()
	a.seen = append(a.seen, t.String()+" "+name)
	a.mu.Unlock()
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
	v, err := postseal.New(postseal.Config{Resolver: a, AuthservID: "mx.test"})
	if err != nil {
		t.Fatal(err)
	}
	s := v.Session(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")})
	s.Helo("h.other.example")
	r, err := s.Verify(t.Context(), "a@other.example", []string{"b@here.example"}, strings.NewReader("From: a@other.example\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.IPRev == nil || r.IPRev.Code != postseal.IPRevFail || r.IPRev.Name != "n0.test" {
		t.Errorf("got %+v", r.IPRev)
	}
	got := slices.DeleteFunc(a.seen, func(q string) bool { return strings.HasSuffix(q, ".example") }) // of SPF and DMARC
	slices.Sort(got)
	if got, want := strings.Join(got, ", "), "A n0.test, A n1.test, A n2.test, A n3.test, A n4.test, A n5.test, A n6.test, A n7.test, A n8.test, A n9.test, PTR 1.2.0.192.in-addr.arpa"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}
