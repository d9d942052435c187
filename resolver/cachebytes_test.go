package resolver_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/signature"
	"postseal/resolver"
	"postseal/spf"
)

// answering has one TXT record at every name.
type answering string

func (a answering) Lookup(_ context.Context, name string, _ resolver.Type) (resolver.Answer, error) {
	text := string(a)
	if !strings.HasPrefix(name, "d") && !strings.Contains(name, "._domainkey.d") && !strings.HasPrefix(name, "_dmarc.d") {
		text = "v=spf1 -all" // of an include
	}
	text = strings.Clone(text)
	return resolver.Answer{Records: []resolver.RR{{Text: text, Strings: []int{len(text)}}}, TTL: time.Hour, Canonical: name}, nil
}

// TestCacheBytes: what a cache counts is what its answers take with all that is made of them,
// by a factor of two either way.
func TestCacheBytes(t *testing.T) {
	check := func(r resolver.Resolver, name string) {
		c := spf.Checker{Resolver: r}
		q := spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Sender: "a@" + name}
		c.Check(t.Context(), q)
	}
	verify := func(r resolver.Resolver, name string) {
		keys, err := signature.LookupKey(t.Context(), r, "s", domain.Name(name))
		if err != nil {
			t.Fatal(err)
		}
		keys[0].Verifies(make([]byte, 32), make([]byte, 256))
	}
	discover := func(r resolver.Resolver, name string) {
		e := dmarc.Evaluator{Resolver: r}
		e.Discover(t.Context(), domain.Name(name))
	}
	const rsa = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu9z+9pu0/3dJx2+KYuJKNkb8KogAceAH/WKT1GZ0c/dzn3fiTJdD1+75Ff0cKqSrAp9T5oPP28ILwJP9rwqOZJ+NsJZw1MCFLkV4g2o+GpLf6FEtt1Do3yZCoBJYp8SiGctnlZd0YM0nmllfMV366uVI09svtnkdBWIur4mYgcBbiL5Rn8srJkx0PV3bCpgGwUGfpMJ1PITZgGFR9uOub+lHePJ2Lo+SzDfxzpucG7Bi3P7yFsP2sim3rEZFs3Re9iaM2IxYB2Q9lHpwcPrtGKIG0JfNNCXqfD7WNA32R4VeDOT5Yn8k+/LPZ9E50PRJAnIKa2J2OO5y89kKxmBEmwIDAQAB"
	for _, c := range []struct {
		name, text string
		use        func(r resolver.Resolver, name string)
	}{
		{"short SPF", "v=spf1 a mx -all", check},
		{"networks", "v=spf1" + strings.Repeat(" ip4:203.0.113.128/25", 8) + " -all", check},
		{"IPv6 networks", "v=spf1" + strings.Repeat(" ip6:2001:db8::/32", 30) + " -all", check},
		{"the shortest terms", "v=spf1" + strings.Repeat(" a", 200) + " -all", check},
		{"8 KiB of the shortest terms", "v=spf1" + strings.Repeat(" a", 4000) + " -all", check},
		{"8 KiB of the shortest modifiers", "v=spf1" + strings.Repeat(" a=", 2700) + " -all", check},
		{"8 KiB of networks", "v=spf1" + strings.Repeat(" ip4:1.2.3.4", 600) + " -all", check},
		{"includes", "v=spf1" + strings.Repeat(" include:spf.a.test", 8) + " -all", check},
		{"RSA key", "v=DKIM1; k=rsa; p=" + rsa, verify},
		{"Ed25519 key", "v=DKIM1; k=ed25519; p=41U+mLeXUcYfa02he/mx1VDbBPppgmJeA4Wyn6vrle8=", verify},
		{"policy", "v=DMARC1; p=reject; rua=mailto:dmarc@example.test; adkim=s; aspf=r", discover},
	} {
		cache := resolver.NewCache(answering(c.text), resolver.CacheOptions{MaxBytes: 1 << 30})
		before := heap()
		for i := range min(3000, 2<<20/len(c.text)) {
			c.use(cache, fmt.Sprintf("d%d.test", i))
		}
		taken := float64(heap() - before)
		if stats := cache.Stats(); taken < 0.5*float64(stats.Bytes) || taken > 2*float64(stats.Bytes) {
			t.Errorf("%s: %d entries take %.0f octets and count for %d", c.name, stats.Entries, taken, stats.Bytes)
		}
	}
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
