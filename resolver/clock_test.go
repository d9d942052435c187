package resolver_test

import (
	"testing"
	"time"

	"postseal/lab/fakedns"
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
			now := fakedns.NewClock()
			a.TTL = time.Minute
			next := fakedns.Fixed(a)
			cache := resolver.NewCache(next, resolver.CacheOptions{Stale: time.Minute, Now: now.Now})
			fakedns.Ask(t, cache, "e.test", resolver.TXT)
			now.Advance(step)
			if _, ok := cache.Peek("e.test", resolver.TXT); ok {
				t.Errorf("%+v, step %v: the answer from before it still holds", a, step)
			}
			next.Answer = fakedns.Failing(resolver.Answer{}, &resolver.Error{Kind: resolver.Timeout}).Answer
			if got, err := cache.Lookup(t.Context(), "e.test", resolver.TXT); err == nil {
				t.Errorf("%+v, step %v: served stale: %+v", a, step, got)
			}
			next.Answer = fakedns.Fixed(a).Answer
			if got := fakedns.Ask(t, cache, "e.test", resolver.TXT); got.TTL != time.Minute {
				t.Errorf("%+v, step %v: the new answer lives %v, want 1m", a, step, got.TTL)
			}
			now.Advance(59 * time.Second)
			if _, ok := cache.Peek("e.test", resolver.TXT); !ok {
				t.Errorf("%+v, step %v: the new answer is not kept", a, step)
			}
			now.Advance(time.Second)
			if _, ok := cache.Peek("e.test", resolver.TXT); ok {
				t.Errorf("%+v, step %v: the new answer outlives its TTL", a, step)
			}
		}
	}
}
