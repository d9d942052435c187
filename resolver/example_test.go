package resolver_test

import (
	"context"
	"fmt"

	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// An answer has four outcomes: records, no record of the type, no such name, and a failure, which
// is the only error.
func Example() {
	dns, err := dnstest.Parse(`
acme.test. 300 TXT "v=spf1 -all"
; FAULT down.test ANY TIMEOUT
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	ask := func(name string, t resolver.Type) {
		a, err := dns.Lookup(context.Background(), name, t)
		switch {
		case err != nil:
			fmt.Println(name, t, "failed:", resolver.KindOf(err))
		case a.NXDomain:
			fmt.Println(name, t, "there is no such name")
		case len(a.Records) == 0:
			fmt.Println(name, t, "no record of this type")
		default:
			fmt.Println(name, t, a.Records[0].Text)
		}
	}
	ask("acme.test", resolver.TXT)
	ask("acme.test", resolver.MX)
	ask("gone.test", resolver.TXT)
	ask("down.test", resolver.TXT)
	// Output:
	// acme.test TXT v=spf1 -all
	// acme.test MX no record of this type
	// gone.test TXT there is no such name
	// down.test TXT failed: timeout
}

// A Cache keeps answers for their TTL.
func ExampleNewCache() {
	dns, err := dnstest.Parse(`acme.test. 300 TXT "v=spf1 -all"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	cache := resolver.NewCache(dns, resolver.CacheOptions{MaxBytes: 1 << 20})
	for range 3 {
		if _, err := cache.Lookup(context.Background(), "acme.test", resolver.TXT); err != nil {
			fmt.Println(err)
			return
		}
	}
	s := cache.Stats()
	fmt.Println(s.Hits, "hits", s.Misses, "miss")
	// Output: 2 hits 1 miss
}
