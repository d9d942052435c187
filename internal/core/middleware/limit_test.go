package middleware

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// countingShares holds each question for a random time and counts what is outstanding of each share.
type countingShares struct {
	mu   sync.Mutex
	all  int
	of   map[share]int
	over []string
	n    int // of the Limit
	r    *rand.Rand
}

func (c *countingShares) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	from := sourceOf(ctx)
	shares := [3]share{{message: from.message}, {client: from.client}, {organization: dnsdata.Organization(name)}}
	c.mu.Lock()
	c.all++
	if c.all > c.n {
		c.over = append(c.over, fmt.Sprintf("%d outstanding", c.all))
	}
	for i, sh := range shares {
		if c.of[sh]++; c.of[sh] > most[i] {
			c.over = append(c.over, fmt.Sprintf("%d of share %d", c.of[sh], i))
		}
	}
	takes := time.Duration(c.r.IntN(1000)) * time.Millisecond
	c.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	for _, sh := range shares {
		c.of[sh]--
	}
	return resolver.Answer{NXDomain: true}, ctx.Err()
}

// TestLimitShares: whoever asks what, and goes away when, no share has more outstanding than it may,
// every question comes to its turn, and nothing is left of those that waited.
func TestLimitShares(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 16))
			n := 8 + r.IntN(100)
			c := &countingShares{of: map[share]int{}, n: n, r: rand.New(rand.NewPCG(seed, 17))}
			l := NewLimit(c, n)
			messages := make([]*QueryLog, 12)
			for i := range messages {
				messages[i] = new(QueryLog)
			}
			var work sync.WaitGroup
			for range 1500 {
				m, org, patience := r.IntN(len(messages)), r.IntN(8), time.Duration(r.IntN(40000))*time.Millisecond
				from := source{message: messages[m], client: NetworkOf(netip.AddrFrom4([4]byte{10, byte(m / 3), 0, 1}))}
				if r.IntN(3) > 0 {
					patience = time.Hour
				}
				work.Go(func() {
					ctx, cancel := context.WithTimeout(from.context(t.Context()), patience)
					defer cancel()
					if _, err := l.Lookup(ctx, fmt.Sprintf("n.o%d.test", org), resolver.A); err != nil && patience == time.Hour {
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			work.Wait()
			if len(c.over) > 0 {
				t.Errorf("seed %d: %d times too many, first %s", seed, len(c.over), c.over[0])
			}
			s := &l.all
			if s.free != n || s.waiting != 0 || len(s.taken) != 0 || l.Waiting() != 0 {
				t.Errorf("seed %d: %d of %d are free, %d wait, %d shares are taken", seed, s.free, n, s.waiting, len(s.taken))
			}
		})
	}
}
