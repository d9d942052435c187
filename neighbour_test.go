package postseal_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// long makes the tests that look for races and attacks take minutes: make attack-long.
var long = flag.Bool("long", false, "look for races and attacks for minutes")

// slow answers after its own time, so that questions are in flight when contexts end.
type slow struct {
	resolver.Resolver
	most time.Duration
}

func (s slow) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-time.After(rand.N(s.most)):
		return s.Resolver.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, ctx.Err()
	}
}

// TestContextsThatEnd: a context that ends at about the moment of the verdict ends its own
// message alone. A message whose context does not end has its verdict, whatever its neighbours
// do. Run it with -race.
func TestContextsThatEnd(t *testing.T) {
	zone, err := dnstest.Parse("acme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.acme.test. TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Enforce: postseal.Strict, Resolver: slow{zone, 4 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(testTime(t))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for time.Now().Before(until) {
				endsSoon(t, v)
			}
		})
		all.Go(func() {
			for time.Now().Before(until) {
				r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.2:25")}, "mx.test", "a@acme.test",
					strings.NewReader("From: a@acme.test\r\n\r\nx\r\n"))
				if err != nil || r.Decision.Action != postseal.Reject || r.SPF[0].Code != "fail" {
					t.Errorf("%v, %+v", err, r)
				}
			}
		})
	}
	all.Wait()
}

// testTime is how long a race is looked for.
func testTime(t *testing.T) time.Duration {
	t.Helper()
	if *long {
		return time.Minute
	}
	return time.Second
}

// endsSoon is a message whose session or whose Finish ends at about the moment of the verdict.
// What it comes to is a pass of nothing: reject, or defer where the policy or SPF is unknown.
func endsSoon(t *testing.T, v *postseal.Verifier) {
	ctx, cancel := context.WithTimeout(t.Context(), rand.N(12*time.Millisecond))
	defer cancel()
	session, finish := ctx, t.Context()
	if rand.N(2) == 0 {
		session, finish = finish, session
	}
	s := v.Session(session, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.2:25")})
	tx := s.Mail("a@acme.test")
	defer tx.Abort()
	w := tx.MessageWriter()
	w.Write([]byte("From: a@acme.test\r\n\r\nx\r\n"))
	w.Close()
	if rand.N(4) == 0 {
		return
	}
	r, err := tx.Finish(finish)
	if err != nil || r.DMARC.Code != "fail" && r.DMARC.Code != "temperror" {
		t.Errorf("%v, %+v", err, r)
	}
}
