package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal"
	"postseal/internal/core/middleware"
	"postseal/lab/bench/corpus"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// slow is a name server that answers after a while.
type slow struct {
	zone  *dnstest.Zone
	delay time.Duration
}

func (s slow) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-time.After(s.delay):
		return s.zone.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, ctx.Err()
	}
}

// chainZone is bulk.test with an SPF chain of four records: three includes, one in the
// other.
func chainZone(tb testing.TB) *dnstest.Zone {
	lines := strings.Split(corpus.Zone, "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "bulk.test. TXT") })
	lines = append(lines, `bulk.test. TXT "v=spf1 include:_1.bulk.test -all"`, `_1.bulk.test. TXT "v=spf1 include:_2.bulk.test -all"`,
		`_2.bulk.test. TXT "v=spf1 include:_3.bulk.test -all"`, `_3.bulk.test. TXT "v=spf1 ip4:198.51.100.0/24 -all"`)
	zone, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		tb.Fatal(err)
	}
	return zone
}

func coldVerifier(tb testing.TB, next resolver.Resolver) *postseal.Verifier {
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Now: func() time.Time { return clock },
		Resolver: resolver.NewCache(middleware.Coalesce(next), resolver.CacheOptions{})})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// BenchmarkCold is one message with an empty cache and answers that take 20 ms: the SPF
// chain of four records alone takes 80 ms, and everything else has to fit inside.
func BenchmarkCold(b *testing.B) {
	msg := corpus.Message(shape{Algorithm: "rsa", Canonical: "relaxed", Bytes: 10 << 10, Signed: 2})
	zone := chainZone(b)
	var took []time.Duration
	for b.Loop() {
		v := coldVerifier(b, slow{zone, 20 * time.Millisecond})
		start := time.Now()
		if r := verify(b, v, bytes.NewReader(msg)); r.Decision.Reason != postseal.DMARCPass {
			b.Fatal(r.Decision)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}

// BenchmarkColdMany is 10,000 messages at once from as many domains, all cold: outstanding
// questions are bounded, and every message gets its verdict.
func BenchmarkColdMany(b *testing.B) {
	const many = 10000
	var text strings.Builder
	for i := range many {
		fmt.Fprintf(&text, "d%d.test. TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\n_dmarc.d%d.test. TXT \"v=DMARC1; p=reject\"\n", i, i)
	}
	zone, err := dnstest.Parse(text.String())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		v, err := postseal.New(postseal.Config{Resolver: resolver.NewCache(middleware.Coalesce(middleware.NewLimit(slow{zone, 20 * time.Millisecond}, 1000)), resolver.CacheOptions{})})
		if err != nil {
			b.Fatal(err)
		}
		var work sync.WaitGroup
		var mu sync.Mutex
		verdicts := map[postseal.Reason]int{}
		start := time.Now()
		for i := range many {
			work.Go(func() {
				msg := fmt.Sprintf("From: a@d%d.test\r\nTo: b@example.net\r\n\r\nx\r\n", i)
				r, err := postseal.VerifyReader(context.Background(), v, postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.25:25")},
					"h.test", fmt.Sprintf("a@d%d.test", i), bytes.NewReader([]byte(msg)))
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				verdicts[r.Decision.Reason]++
				mu.Unlock()
			})
		}
		work.Wait()
		if verdicts[postseal.DMARCPass] != many {
			b.Fatalf("verdicts: %v", verdicts)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/10000")
	}
}
