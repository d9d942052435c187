package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/internal/core/memo"
	"postseal/internal/core/middleware"
	"postseal/lab/fakedns"
	"postseal/resolver"
)

func TestCacheTTL(t *testing.T) {
	records := []resolver.RR{{Text: "x", Strings: []int{1}}}
	for _, c := range []struct {
		name   string
		answer resolver.Answer
		opt    resolver.CacheOptions
		lives  time.Duration
	}{
		{"records", resolver.Answer{Records: records, TTL: time.Minute}, resolver.CacheOptions{}, time.Minute},
		{"NODATA", resolver.Answer{TTL: time.Minute}, resolver.CacheOptions{}, time.Minute},
		{"NXDOMAIN", resolver.Answer{NXDomain: true, TTL: time.Minute}, resolver.CacheOptions{}, time.Minute},
		{"TTL 0", resolver.Answer{Records: records}, resolver.CacheOptions{}, 0},
		{"long TTL", resolver.Answer{Records: records, TTL: 1 << 31 * time.Second}, resolver.CacheOptions{}, 24 * time.Hour},
		{"long TTL, bound", resolver.Answer{Records: records, TTL: 1 << 31 * time.Second}, resolver.CacheOptions{MaxTTL: time.Minute}, time.Minute},
		{"long negative TTL", resolver.Answer{TTL: 24 * time.Hour}, resolver.CacheOptions{}, time.Hour},
		{"long negative TTL, bound", resolver.Answer{TTL: 24 * time.Hour}, resolver.CacheOptions{MaxTTL: time.Minute}, time.Minute},
	} {
		now := fakedns.NewClock()
		c.opt.Now = now.Now
		next := fakedns.Fixed(c.answer)
		cache := resolver.NewCache(next, c.opt)
		if got := fakedns.Ask(t, cache, "e.test", resolver.TXT); got.TTL != max(c.lives, 0) || (memo.Of(got) != memo.Ref{}) != (c.lives > 0) {
			t.Errorf("%s: first answer %+v", c.name, got)
		}
		if c.lives > 0 {
			now.Advance(c.lives - 500*time.Millisecond)
			a := fakedns.Ask(t, cache, "E.test.", resolver.TXT)
			if want := time.Duration(0); next.Count() != 1 || a.TTL != want || a.NXDomain != c.answer.NXDomain || len(a.Records) != len(c.answer.Records) {
				t.Errorf("%s: just before the end: asked %d times, %+v", c.name, next.Count(), a)
			}
			now.Advance(500 * time.Millisecond)
		}
		if _, ok := cache.Peek("e.test", resolver.TXT); ok {
			t.Errorf("%s: known after its end", c.name)
		}
		fakedns.Ask(t, cache, "e.test", resolver.TXT)
		if next.Count() != 2 {
			t.Errorf("%s: asked %d times, want 2", c.name, next.Count())
		}
	}
}

func TestCacheRemainingTTL(t *testing.T) {
	now := fakedns.NewClock()
	cache := resolver.NewCache(fakedns.Static(time.Minute), resolver.CacheOptions{Now: now.Now})
	for left := 60; left > 0; left -= 20 {
		if a := fakedns.Ask(t, cache, "e.test", resolver.TXT); a.TTL != time.Duration(left)*time.Second {
			t.Errorf("TTL = %v, want %d s", a.TTL, left)
		}
		now.Advance(20 * time.Second)
	}
	now.Advance(-2 * time.Hour) // a clock set back must not make an answer live longer than its TTL says
	fakedns.Ask(t, cache, "f.test", resolver.TXT)
	now.Advance(-time.Hour)
	if a := fakedns.Ask(t, cache, "f.test", resolver.TXT); a.TTL > time.Minute {
		t.Errorf("TTL = %v", a.TTL)
	}
}

// TestCacheCut: a secure NXDOMAIN is said of the whole tree below the name (RFC 8020), unless it
// was said of the target of a CNAME (RFC 6604). One that is not secure, or at a name that begins
// with an underscore, is said of the name alone: an attacker who asks for x._domainkey.acme.test
// must not hide the keys of acme.test where a name server denies empty non-terminals.
func TestCacheCut(t *testing.T) {
	now := fakedns.NewClock()
	for _, tt := range []struct {
		cut, asked string
		security   resolver.Security
		known      bool
	}{
		{"e.test", "e.test", resolver.Insecure, true},
		{"e.test", "E.TEST.", resolver.Insecure, true},
		{"e.test", "a.e.test", resolver.Secure, true},
		{"e.test", "_dmarc.a.b.c.e.test", resolver.Secure, true},
		{"e.test", "a.e.test", resolver.Insecure, false},
		{"e.test", "a.e.test", resolver.Indeterminate, false},
		{"e.test", "xe.test", resolver.Secure, false},
		{"e.test", "e.test.other", resolver.Secure, false},
		{"e.test", "test", resolver.Secure, false},
		{"_domainkey.e.test", "s._domainkey.e.test", resolver.Secure, false},
		{"_domainkey.e.test", "s._domainkey.e.test", resolver.Insecure, false},
		{"_domainkey.e.test", "_domainkey.e.test", resolver.Insecure, true},
	} {
		t.Run(tt.cut+" "+tt.asked+" "+tt.security.String(), func(t *testing.T) {
			next := fakedns.Fixed(resolver.Answer{NXDomain: true, TTL: time.Minute, Security: tt.security})
			cache := resolver.NewCache(next, resolver.CacheOptions{Now: now.Now})
			fakedns.Ask(t, cache, tt.cut, resolver.TXT)
			for _, typ := range []resolver.Type{resolver.MX, resolver.TXT} {
				a, ok := cache.Peek(tt.asked, typ)
				if ok != tt.known || ok && (!a.NXDomain || a.Aliased(strings.TrimSuffix(tt.asked, "."))) {
					t.Errorf("%s: %t, %+v", typ, ok, a)
				}
			}
			now.Advance(time.Minute)
			if _, ok := cache.Peek(tt.asked, resolver.TXT); ok {
				t.Error("the cut outlived its TTL")
			}
		})
	}

	next := fakedns.Fixed(resolver.Answer{NXDomain: true, Canonical: "target.test", TTL: time.Minute})
	cache := resolver.NewCache(next, resolver.CacheOptions{Now: now.Now})
	fakedns.Ask(t, cache, "alias.test", resolver.TXT)
	if a := fakedns.Ask(t, cache, "alias.test", resolver.TXT); next.Count() != 1 || !a.NXDomain {
		t.Errorf("aliased NXDOMAIN: asked %q", next.Asked)
	}
	fakedns.Ask(t, cache, "alias.test", resolver.MX)
	fakedns.Ask(t, cache, "a.alias.test", resolver.TXT)
	if next.Count() != 3 {
		t.Errorf("aliased NXDOMAIN: asked %q, want a question for another type and for a name below", next.Asked)
	}

	next = fakedns.Fixed(resolver.Answer{TTL: time.Minute})
	cache = resolver.NewCache(next, resolver.CacheOptions{Now: now.Now})
	fakedns.Ask(t, cache, "e.test", resolver.TXT)
	fakedns.Ask(t, cache, "e.test", resolver.MX)
	fakedns.Ask(t, cache, "a.e.test", resolver.TXT)
	if next.Count() != 3 {
		t.Errorf("NODATA: asked %q", next.Asked)
	}
}

func TestCacheFailure(t *testing.T) {
	next := fakedns.Failing(resolver.Answer{}, &resolver.Error{Kind: resolver.ServFail})
	cache := resolver.NewCache(next, resolver.CacheOptions{})
	for range 2 {
		if _, err := cache.Lookup(t.Context(), "e.test", resolver.TXT); resolver.KindOf(err) != resolver.ServFail {
			t.Errorf("Lookup = %v", err)
		}
	}
	if next.Count() != 2 {
		t.Errorf("asked %d times, want 2", next.Count())
	}
	if a, err := cache.Lookup(t.Context(), strings.Repeat("a", 64)+".test", resolver.TXT); err != nil || !a.NXDomain || next.Count() != 2 {
		t.Errorf("impossible name: %+v, %v", a, err)
	}
}

func TestCacheMemo(t *testing.T) {
	cache := resolver.NewCache(fakedns.Static(time.Minute), resolver.CacheOptions{})
	first := fakedns.Ask(t, cache, "e.test", resolver.TXT)
	if memo.Of(first) == (memo.Ref{}) || memo.Of(fakedns.Ask(t, cache, "e.test", resolver.TXT)) != memo.Of(first) {
		t.Error("an entry has more than one Ref")
	}
	if memo.Of(fakedns.Ask(t, cache, "f.test", resolver.TXT)) == memo.Of(first) {
		t.Error("two entries share a Ref")
	}
}

// TestCacheBound: the cache stays within its size, keeps what is used, and does not let
// one huge answer drive out everything.
func TestCacheBound(t *testing.T) {
	for _, limit := range []int{1, 20 << 10, 1 << 20} {
		next := fakedns.Static(time.Hour)
		cache := resolver.NewCache(next, resolver.CacheOptions{MaxBytes: limit})
		for i := range 5000 {
			fakedns.Ask(t, cache, fmt.Sprintf("n%d.test", i), resolver.TXT)
			if limit > 1000 {
				fakedns.Ask(t, cache, "popular.test", resolver.TXT)
			}
		}
		s := cache.Stats()
		if s.Bytes > limit || limit > 1000 && s.Bytes < limit/2 {
			t.Errorf("limit %d: %+v", limit, s)
		}
		if limit > 1000 && next.Count() != 5001 {
			t.Errorf("limit %d: asked %d times: what is used was driven out", limit, next.Count())
		}
	}
	huge := strings.Repeat("x", 60<<10)
	cache := resolver.NewCache(&fakedns.Fake{Answer: func(_ context.Context, name string, _ resolver.Type) (resolver.Answer, error) {
		a := resolver.Answer{Records: []resolver.RR{{Text: "x"}}, TTL: time.Hour}
		if name == "huge.test" {
			a.Records[0].Text = huge
		}
		return a, nil
	}}, resolver.CacheOptions{MaxBytes: 50 << 10})
	fakedns.Ask(t, cache, "e.test", resolver.TXT)
	if a := fakedns.Ask(t, cache, "huge.test", resolver.TXT); a.Records[0].Text != huge {
		t.Error("a huge answer is lost")
	}
	if s := cache.Stats(); s.Entries != 1 || s.Evictions != 0 {
		t.Errorf("after a huge answer: %+v", s)
	}
}

// TestCacheEstimate holds the size estimate against the heap.
func TestCacheEstimate(t *testing.T) {
	const limit = 8 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cache := resolver.NewCache(fakedns.Static(time.Hour), resolver.CacheOptions{MaxBytes: limit})
	for i := range 30000 {
		a, err := cache.Lookup(context.Background(), fmt.Sprintf("name-%d.e.test", i), resolver.TXT)
		if err != nil {
			t.Fatal(err)
		}
		memo.Parsed(a, func(resolver.Answer) *[64]byte { return new([64]byte) })
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int(after.HeapAlloc) - int(before.HeapAlloc)
	if s := cache.Stats(); used > limit*3/2 || s.Evictions == 0 {
		t.Errorf("%d octets of heap, limit %d, %+v", used, limit, s)
	}
	runtime.KeepAlive(cache)
}

// TestCacheConcurrent runs everything at once, for the race detector.
func TestCacheConcurrent(t *testing.T) {
	next := &fakedns.Fake{Answer: func(_ context.Context, name string, _ resolver.Type) (resolver.Answer, error) {
		a := resolver.Answer{Canonical: name, TTL: time.Duration(1+len(name)%3) * time.Millisecond}
		switch name[0] {
		case 'x':
			a.NXDomain = true
		case 'f':
			return resolver.Answer{}, errors.New("failed")
		default:
			a.Records = []resolver.RR{{Text: name}}
		}
		return a, nil
	}}
	cache := resolver.NewCache(middleware.Coalesce(middleware.NewLimit(next, 4)), resolver.CacheOptions{MaxBytes: 40 << 10})
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 2000 {
				n := rand.IntN(100)
				name := fmt.Sprintf("%c%d.e.test", "axf"[n%3], n)
				a, err := cache.Lookup(context.Background(), name, resolver.TXT)
				switch {
				case (err != nil) != (name[0] == 'f'):
					t.Errorf("%s: %v", name, err)
				case err == nil && a.NXDomain != (name[0] == 'x'):
					t.Errorf("%s: %+v", name, a)
				case len(a.Records) > 0 && a.Records[0].Text != name:
					t.Errorf("%s: %+v", name, a)
				}
				cache.Stats()
			}
		})
	}
	work.Wait()
}

func BenchmarkCacheHit(b *testing.B) {
	cache := resolver.NewCache(fakedns.Static(time.Hour), resolver.CacheOptions{})
	fakedns.Ask(b, cache, "_dmarc.example.test", resolver.TXT)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		cache.Lookup(ctx, "_dmarc.example.test", resolver.TXT)
	}
}

func BenchmarkCacheHitParallel(b *testing.B) {
	cache := resolver.NewCache(fakedns.Static(time.Hour), resolver.CacheOptions{})
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("_dmarc.n%d.test", i)
		fakedns.Ask(b, cache, names[i], resolver.TXT)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			cache.Peek(names[i%len(names)], resolver.TXT)
		}
	})
}

func BenchmarkCacheCut(b *testing.B) {
	cache := resolver.NewCache(fakedns.Absent(time.Hour), resolver.CacheOptions{})
	fakedns.Ask(b, cache, "e.test", resolver.TXT)
	b.ReportAllocs()
	for b.Loop() {
		cache.Peek("_dmarc.a.b.c.d.e.test", resolver.TXT)
	}
}

func TestCacheHitAllocates(t *testing.T) {
	cache := resolver.NewCache(fakedns.Static(time.Hour), resolver.CacheOptions{})
	fakedns.Ask(t, cache, "e.test", resolver.TXT)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { cache.Lookup(ctx, "e.test", resolver.TXT) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

// TestCacheStale: expired records answer for a while if no name server does, marked; negative
// answers never do, and nothing does without the option.
func TestCacheStale(t *testing.T) {
	for _, c := range []struct {
		name  string
		a     resolver.Answer
		kind  resolver.Kind
		grace time.Duration
		after time.Duration
		want  bool
	}{
		{"records", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Timeout, time.Hour, 30 * time.Minute, true},
		{"down", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Down, time.Hour, 30 * time.Minute, true},
		{"too old", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Timeout, time.Hour, 2 * time.Hour, false},
		{"no option", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Timeout, 0, time.Minute, false},
		{"forged", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Bogus, time.Hour, time.Minute, false},
		{"caller gone", resolver.Answer{Records: []resolver.RR{{Text: "x"}}}, resolver.Canceled, time.Hour, time.Minute, false},
		{"NODATA", resolver.Answer{}, resolver.Timeout, time.Hour, time.Minute, false},
		{"NXDOMAIN", resolver.Answer{NXDomain: true}, resolver.Timeout, time.Hour, time.Minute, false},
	} {
		now := fakedns.NewClock()
		c.a.TTL = time.Minute
		next := fakedns.Fixed(c.a)
		cache := resolver.NewCache(next, resolver.CacheOptions{Stale: c.grace, Now: now.Now})
		if a := fakedns.Ask(t, cache, "e.test", resolver.TXT); a.Stale {
			t.Errorf("%s: a fresh answer is stale", c.name)
		}
		next.Answer = fakedns.Failing(resolver.Answer{}, &resolver.Error{Kind: c.kind}).Answer
		now.Advance(time.Minute + c.after)
		a, err := cache.Lookup(t.Context(), "e.test", resolver.TXT)
		if (err == nil) != c.want || a.Stale != c.want || a.TTL != 0 {
			t.Errorf("%s: %+v, %v, want stale %v", c.name, a, err, c.want)
		}
		next.Answer = fakedns.Fixed(resolver.Answer{Records: []resolver.RR{{Text: "new"}}, TTL: time.Minute}).Answer
		if a := fakedns.Ask(t, cache, "e.test", resolver.TXT); a.Stale || a.Records[0].Text != "new" {
			t.Errorf("%s: afterwards %+v", c.name, a)
		}
	}
}
