package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/memo"
	"postseal/internal/core/middleware"
	"postseal/lab/fakedns"
	"postseal/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestType(t *testing.T) {
	for _, typ := range []resolver.Type{resolver.A, resolver.NS, resolver.CNAME, resolver.SOA, resolver.PTR, resolver.MX, resolver.TXT,
		resolver.AAAA, resolver.DS, resolver.DNSKEY, resolver.TLSA, resolver.SPF, resolver.CAA} {
		if name := typ.String(); strings.HasPrefix(name, "TYPE") {
			t.Errorf("type %d is named %s", typ, name)
		}
	}
	if got := resolver.Type(65280).String(); got != "TYPE65280" {
		t.Errorf("String = %q", got)
	}
}

func TestSecurity(t *testing.T) {
	for s, want := range map[resolver.Security]string{resolver.Indeterminate: "indeterminate", resolver.Insecure: "insecure", resolver.Secure: "secure", 200: "secure"} {
		if got := s.String(); got != want {
			t.Errorf("Security(%d) = %q, want %q", s, got, want)
		}
	}
}

func TestError(t *testing.T) {
	err := error(&resolver.Error{Name: "e.test\r\nx", Type: resolver.TXT, Kind: resolver.Bogus, EDE: 6, Err: context.Canceled})
	if got, want := err.Error(), `TXT "e.test\r\nx": bogus (extended error 6): context canceled`; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	if !errors.Is(err, context.Canceled) {
		t.Error("the cause is lost")
	}
	for _, c := range []struct {
		err  error
		want resolver.Kind
	}{
		{err, resolver.Bogus},
		{fmt.Errorf("more: %w", err), resolver.Bogus},
		{context.DeadlineExceeded, resolver.Timeout},
		{fmt.Errorf("more: %w", context.Canceled), resolver.Canceled},
		{errors.New("other"), resolver.Network},
	} {
		if got := resolver.KindOf(c.err); got != c.want {
			t.Errorf("KindOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestAliased(t *testing.T) {
	for _, c := range []struct {
		canonical, name string
		want            bool
	}{
		{"", "e.test", false}, {"e.test", "E.Test", false}, {"f.test", "e.test", true}, {"e.tes", "e.test", true},
	} {
		if got := (resolver.Answer{Canonical: c.canonical}).Aliased(c.name); got != c.want {
			t.Errorf("Aliased(%q) of %q = %v, want %v", c.name, c.canonical, got, c.want)
		}
	}
}

func TestValidName(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, label[:61]}, ".") // 253
	for name, want := range map[string]bool{
		"e.test": true, "e.test.": true, "x": true, "\xff\x00 .test": true, label + ".test": true, long: true, long + ".": true,
		"": false, ".": false, "..": false, ".e.test": false, "e..test": false, "e.test..": false, label + "a.test": false, "a" + long: false,
	} {
		if got := dnsdata.ValidName(name); got != want {
			t.Errorf("ValidName(%.20q, %d octets) = %v, want %v", name, len(name), got, want)
		}
	}
}

func TestReverseName(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":        "1.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::cb01":   "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := dnsdata.ReverseName(netip.MustParseAddr(ip)); got != want {
			t.Errorf("ReverseName(%s) = %q, want %q", ip, got, want)
		}
	}
}

func TestParsed(t *testing.T) {
	type one struct{ text string }
	type two struct{ n int }
	calls := 0
	parseOne := func(a resolver.Answer) *one { calls++; return &one{a.Records[0].Text} }
	a := resolver.Answer{Records: []resolver.RR{{Text: "x"}}}
	memo.Parsed(a, parseOne)
	memo.Parsed(a, parseOne)
	if calls != 2 {
		t.Errorf("not kept: parsed %d times, want 2", calls)
	}
	a.TTL = time.Minute
	a = fakedns.Ask(t, resolver.NewCache(fakedns.Fixed(a), resolver.CacheOptions{}), "e.test", resolver.TXT)
	calls = 0
	first := memo.Parsed(a, parseOne)
	if second := memo.Parsed(a, parseOne); second != first || calls != 1 {
		t.Errorf("kept: parsed %d times, want 1", calls)
	}
	if got := memo.Parsed(a, func(resolver.Answer) *two { return &two{7} }); got.n != 7 {
		t.Errorf("another type: %v", got)
	}
	if got := memo.Parsed(a, parseOne); got.text != "x" || calls != 2 {
		t.Errorf("the first type again: %v, parsed %d times", got, calls)
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 100 {
				memo.Parsed(a, func(resolver.Answer) *two { return &two{1} })
				if got := memo.Parsed(a, func(resolver.Answer) *one { return &one{"x"} }); got.text != "x" {
					t.Errorf("concurrent: %v", got)
				}
			}
		})
	}
	work.Wait()
}

// prefetcher records the queries it is told to start.
type prefetcher struct {
	fakedns.Fake
	told []string
}

func (p *prefetcher) Prefetch(name string, t resolver.Type) {
	p.told = append(p.told, name+" "+t.String())
}

func TestPrefetch(t *testing.T) {
	p := new(prefetcher)
	middleware.Prefetch(p, "e.test", resolver.MX)
	middleware.Prefetch(fakedns.Static(0), "e.test", resolver.MX)
	if len(p.told) != 1 || p.told[0] != "e.test MX" {
		t.Errorf("told of %q", p.told)
	}
}
