package middleware_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/core/middleware"
	"postseal/resolver"
)

// silentBelow never answers for names below evil domains; others take 20 ms.
type silentBelow struct {
	mu          sync.Mutex
	outstanding int
	most        int
}

func (s *silentBelow) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	s.mu.Lock()
	s.outstanding++
	s.most = max(s.most, s.outstanding)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.outstanding--
		s.mu.Unlock()
	}()
	takes := 20 * time.Millisecond
	if len(name) > 4 && name[:4] == "evil" {
		takes = 5 * time.Second
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return resolver.Answer{}, ctx.Err()
	}
	if takes > time.Second {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return resolver.Answer{Records: []resolver.RR{{Text: "x"}}, TTL: time.Minute}, nil
}

// TestSlotsAreShared: forty clients whose messages each name ten domains with silent name servers
// take all slots. The questions of an honest client wait no more than a moment, and those for
// policies not at all.
func TestSlotsAreShared(t *testing.T) {
	for _, tt := range []struct {
		name    string
		network func(i int) string // of attacker i
		domain  func(i, j int) string
	}{
		{"one network", func(int) string { return "203.0.113.9" }, func(i, j int) string { return fmt.Sprintf("evil%d-%d.test", i, j) }},
		{"forty networks", func(i int) string { return fmt.Sprintf("203.0.%d.9", i) }, func(i, j int) string { return fmt.Sprintf("evil%d-%d.test", i, j) }},
		{"one domain", func(i int) string { return fmt.Sprintf("203.0.%d.9", i) }, func(i, j int) string { return fmt.Sprintf("evil%d-%d.evil.test", i, j) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit := middleware.NewLimit(&silentBelow{}, 0)
				ctx, end := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for i := range 40 {
					all.Go(func() {
						for n := 0; ctx.Err() == nil; n++ {
							l := middleware.NewQueryLog(ctx, limit, resolver.Budget{})
							l.For(netip.MustParseAddr(tt.network(i)))
							for j := range 10 {
								l.Prefetch(fmt.Sprintf("s%d._domainkey.%s", n, tt.domain(i, j)), resolver.TXT)
							}
							l.Lookup(ctx, fmt.Sprintf("s%d._domainkey.%s", n, tt.domain(i, 0)), resolver.TXT)
							l.Close()
						}
					})
				}
				time.Sleep(2 * time.Second)
				for i := range 100 {
					l := middleware.NewQueryLog(t.Context(), limit, resolver.Budget{})
					l.For(netip.MustParseAddr("198.51.100.1"))
					began := time.Now()
					if _, err := l.PolicyAccount(resolver.Budget{}, 0).Lookup(t.Context(), fmt.Sprintf("_dmarc.honest%d.test", i), resolver.TXT); err != nil || time.Since(began) > 30*time.Millisecond {
						t.Errorf("a policy after %v: %v", time.Since(began), err)
					}
					began = time.Now()
					if _, err := l.Lookup(t.Context(), fmt.Sprintf("honest%d.test", i), resolver.TXT); err != nil || time.Since(began) > 2*time.Second {
						t.Errorf("a key after %v: %v", time.Since(began), err)
					}
					l.Close()
				}
				end()
				all.Wait()
			})
		})
	}
}
