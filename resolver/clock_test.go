package resolver_test

import (
	"fmt"
	"testing"
	"time"

	"postseal/resolver"
)

// steps are what a clock without a monotonic reading may do: a machine that booted with a
// wrong one, or one that was set by hand.
var steps = []time.Duration{-72 * time.Hour, -time.Hour, time.Hour, 72 * time.Hour}

// TestCacheClockStep: after a step an answer is asked for again, and then lives as long as
// its TTL; none is kept for the length of the step.
func TestCacheClockStep(t *testing.T) {
	for _, a := range []resolver.Answer{{Records: []resolver.RR{{Text: "x"}}}, {}, {NXDomain: true}} {
		for _, step := range steps {
			now := newClock()
			a.TTL = time.Minute
			next := fixed(a)
			cache := resolver.NewCache(next, resolver.CacheOptions{Stale: time.Minute, Now: now.Now})
			ask(t, cache, "e.test", resolver.TXT)
			now.advance(step)
			if _, ok := cache.Peek("e.test", resolver.TXT); ok {
				t.Errorf("%+v, step %v: the answer from before it still holds", a, step)
			}
			next.answer = failing(resolver.Answer{}, &resolver.Error{Kind: resolver.Timeout}).answer
			if got, err := cache.Lookup(t.Context(), "e.test", resolver.TXT); err == nil {
				t.Errorf("%+v, step %v: served stale: %+v", a, step, got)
			}
			next.answer = fixed(a).answer
			if got := ask(t, cache, "e.test", resolver.TXT); got.TTL != time.Minute {
				t.Errorf("%+v, step %v: the new answer lives %v, want 1m", a, step, got.TTL)
			}
			now.advance(59 * time.Second)
			if _, ok := cache.Peek("e.test", resolver.TXT); !ok {
				t.Errorf("%+v, step %v: the new answer is not kept", a, step)
			}
			now.advance(time.Second)
			if _, ok := cache.Peek("e.test", resolver.TXT); ok {
				t.Errorf("%+v, step %v: the new answer outlives its TTL", a, step)
			}
		}
	}
}

// TestBreakerClockStep: a breaker that is open probes at once after a step back, not an
// hour later.
func TestBreakerClockStep(t *testing.T) {
	for _, step := range steps {
		now := newClock()
		s := new(sick)
		b := resolver.NewBreaker(s, resolver.BreakerOptions{Failures: 2, Interval: time.Second, Now: now.Now})
		s.dead.Store(true)
		for i := range 3 {
			kind(b, fmt.Sprintf("a%d.test", i))
		}
		if !b.Open() {
			t.Fatal("the breaker is closed")
		}
		s.dead.Store(false)
		now.advance(step)
		if got := kind(b, "b.test"); got != "" || b.Open() {
			t.Errorf("step %v: got %q, open %v, want an answer", step, got, b.Open())
		}
	}
}
