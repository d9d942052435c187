package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/core/memo"
	"postseal/internal/core/middleware"
	"postseal/lab/fakedns"
	"postseal/resolver"
)

func TestQueryLogAsksOnce(t *testing.T) {
	next := fakedns.Static(time.Minute)
	l := middleware.NewQueryLog(t.Context(), next, resolver.Budget{})
	defer l.Close()
	l.Prefetch("E.test.", resolver.TXT)
	var work sync.WaitGroup
	for range 10 {
		work.Go(func() {
			if a, err := l.Lookup(t.Context(), "e.Test", resolver.TXT); err != nil || a.Records[0].Text != "e.test TXT" {
				t.Errorf("Lookup = %+v, %v", a, err)
			}
		})
	}
	work.Wait()
	if _, err := l.Lookup(t.Context(), "e.test", resolver.MX); err != nil {
		t.Error(err)
	}
	if got := strings.Join(next.Asked, ", "); got != "e.test TXT, e.test MX" || l.Queries() != 2 {
		t.Errorf("asked %s, counted %d", got, l.Queries())
	}
	var got []string
	for _, x := range l.Exchanges() {
		got = append(got, fmt.Sprintf("%s %s %d %v", x.Name, x.Type, len(x.Answer.Records), x.Err))
	}
	if s := strings.Join(got, ", "); s != "e.test TXT 1 <nil>, e.test MX 1 <nil>" {
		t.Errorf("Exchanges = %s", s)
	}
}

// TestQueryLogImpossibleName: no sender can spend the budget, or force a failure, with
// names that cannot exist.
func TestQueryLogImpossibleName(t *testing.T) {
	next := fakedns.Static(time.Minute)
	l := middleware.NewQueryLog(t.Context(), next, resolver.Budget{Queries: 1})
	defer l.Close()
	for range 3 {
		if a, err := l.Lookup(t.Context(), "a..test", resolver.TXT); err != nil || !a.NXDomain {
			t.Errorf("Lookup = %+v, %v", a, err)
		}
	}
	if next.Count() != 0 || l.Queries() != 0 {
		t.Errorf("asked %q, counted %d", next.Asked, l.Queries())
	}
}

func TestQueryLogBudget(t *testing.T) {
	next := fakedns.Static(time.Minute)
	l := middleware.NewQueryLog(t.Context(), next, resolver.Budget{Queries: 3})
	defer l.Close()
	for i := range 5 {
		_, err := l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT)
		if over := i >= 3; over != (err != nil) || over && resolver.KindOf(err) != resolver.OverBudget {
			t.Errorf("question %d: %v", i, err)
		}
	}
	if _, err := l.Lookup(t.Context(), "n0.test", resolver.TXT); err != nil {
		t.Errorf("a question asked before: %v", err)
	}
	if next.Count() != 3 {
		t.Errorf("asked %q", next.Asked)
	}

	next = fakedns.Static(time.Minute)
	l = middleware.NewQueryLog(t.Context(), next, resolver.Budget{Bytes: 300})
	defer l.Close()
	for i := range 4 {
		_, err := l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT)
		if over := i >= 2; over != (resolver.KindOf(err) == resolver.OverBudget && err != nil) {
			t.Errorf("bytes, question %d: %v", i, err)
		}
	}
}

func TestQueryLogContext(t *testing.T) {
	next := fakedns.Held(nil)
	l := middleware.NewQueryLog(t.Context(), next, resolver.Budget{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := l.Lookup(ctx, "e.test", resolver.TXT)
	if resolver.KindOf(err) != resolver.Timeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lookup = %v, want a timeout", err)
	}
	if n := len(l.Exchanges()); n != 0 {
		t.Errorf("%d exchanges while the only question is in flight", n)
	}
	l.Close() // ends the question, and waits for it
	if x := l.Exchanges(); len(x) != 1 || resolver.KindOf(x[0].Err) != resolver.Canceled {
		t.Errorf("Exchanges = %+v", x)
	}
	if _, err := l.Lookup(t.Context(), "f.test", resolver.TXT); resolver.KindOf(err) != resolver.OverBudget {
		t.Errorf("Lookup after Close = %v", err)
	}
	l.Prefetch("g.test", resolver.TXT)
	if next.Count() != 1 {
		t.Errorf("asked %q", next.Asked)
	}
}

// TestQueryLogWarm: what a cache knows needs no goroutine, and is still counted and kept.
func TestQueryLogWarm(t *testing.T) {
	next := fakedns.Static(time.Minute)
	cache := resolver.NewCache(next, resolver.CacheOptions{})
	if _, err := cache.Lookup(t.Context(), "e.test", resolver.TXT); err != nil {
		t.Fatal(err)
	}
	l := middleware.NewQueryLog(t.Context(), cache, resolver.Budget{})
	defer l.Close()
	if a, err := l.Lookup(t.Context(), "e.test", resolver.TXT); err != nil || memo.Of(a) == (memo.Ref{}) {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
	if len(l.Exchanges()) != 1 || l.Queries() != 1 || next.Count() != 1 {
		t.Errorf("%d exchanges, %d queries, asked %q", len(l.Exchanges()), l.Queries(), next.Asked)
	}
}

// TestQueryLogWithin: the time and the context of Within end what is in flight and what is
// asked later, but hide no answer that is known.
func TestQueryLogWithin(t *testing.T) {
	for name, bound := range map[string]func(l *middleware.QueryLog, end context.CancelFunc, ctx context.Context){
		"time": func(l *middleware.QueryLog, _ context.CancelFunc, ctx context.Context) { l.Within(ctx, time.Minute) },
		"context": func(l *middleware.QueryLog, end context.CancelFunc, ctx context.Context) {
			l.Within(ctx, time.Hour)
			end()
		},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, asked before %v", name, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					l := middleware.NewQueryLog(t.Context(), silent{}, resolver.Budget{})
					defer l.Close()
					if before {
						l.Prefetch("e.test", resolver.TXT)
					}
					start := time.Now()
					bound(l, cancel, ctx)
					for _, asked := range []string{"e.test", "later.test"} {
						if _, err := l.Lookup(t.Context(), asked, resolver.TXT); resolver.KindOf(err) != resolver.Canceled {
							t.Errorf("%s: %v", asked, err)
						}
					}
					if took := time.Since(start); took > time.Minute {
						t.Errorf("took %v", took)
					}
				})
			})
		}
	}
}

// silent never answers.
type silent struct{}

func (silent) Lookup(ctx context.Context, _ string, _ resolver.Type) (resolver.Answer, error) {
	<-ctx.Done()
	return resolver.Answer{}, ctx.Err()
}

// TestOneFormOfAName: every middleware takes one trailing dot for the root and nothing else, so
// that no name is asked twice, and one that cannot exist is a void lookup everywhere.
func TestOneFormOfAName(t *testing.T) {
	chains := map[string]func(r resolver.Resolver) resolver.Resolver{
		"query log": func(r resolver.Resolver) resolver.Resolver {
			return middleware.NewQueryLog(t.Context(), r, resolver.Budget{})
		},
		"cache":     func(r resolver.Resolver) resolver.Resolver { return resolver.NewCache(r, resolver.CacheOptions{}) },
		"coalesced": func(r resolver.Resolver) resolver.Resolver { return middleware.Coalesce(r) },
		"limit":     func(r resolver.Resolver) resolver.Resolver { return middleware.NewLimit(r, 1) },
		"breaker": func(r resolver.Resolver) resolver.Resolver {
			return middleware.NewBreaker(r, middleware.BreakerOptions{})
		},
		"all": func(r resolver.Resolver) resolver.Resolver {
			return middleware.NewQueryLog(t.Context(), resolver.NewCache(middleware.Coalesce(middleware.NewLimit(r, 1)), resolver.CacheOptions{}), resolver.Budget{})
		},
	}
	for name, chain := range chains {
		t.Run(name, func(t *testing.T) {
			next := fakedns.Static(time.Minute)
			r := chain(next)
			for _, impossible := range []string{"", ".", "e.test..", ".e.test", "e..test", "e.test...", strings.Repeat("a", 64) + ".test"} {
				if a, err := r.Lookup(t.Context(), impossible, resolver.TXT); err != nil || !a.NXDomain || next.Count() != 0 {
					t.Fatalf("%q: %+v, %v, asked %q", impossible, a, err, next.Asked)
				}
			}
			for _, same := range []string{"e.test", "e.test.", "E.Test"} {
				if a, err := r.Lookup(t.Context(), same, resolver.TXT); err != nil || len(a.Records) != 1 {
					t.Fatalf("%q: %+v, %v", same, a, err)
				}
			}
			for _, asked := range next.Asked {
				if asked != next.Asked[0] {
					t.Errorf("asked %q", next.Asked)
				}
			}
		})
	}
}

// TestOldMessage: a message that began long ago sees an entry that came since, and does not
// remove it.
func TestOldMessage(t *testing.T) {
	now := fakedns.NewClock()
	next := fakedns.Static(time.Minute)
	cache := resolver.NewCache(next, resolver.CacheOptions{Now: now.Now})
	old := middleware.NewQueryLog(t.Context(), cache, resolver.Budget{})
	defer old.Close()
	now.Advance(time.Hour)
	fakedns.Ask(t, cache, "e.test", resolver.TXT)
	if _, err := old.Lookup(t.Context(), "e.test", resolver.TXT); err != nil || next.Count() != 1 {
		t.Errorf("asked %q, %v", next.Asked, err)
	}
	if _, ok := cache.Peek("e.test", resolver.TXT); !ok {
		t.Error("the entry was removed")
	}
}

// TestAccounts: what one check spends is missed by no other, and what one asked is free for all.
func TestAccounts(t *testing.T) {
	next := fakedns.Static(time.Minute)
	l := middleware.NewQueryLog(t.Context(), next, resolver.Budget{})
	defer l.Close()
	one, other := l.Account(resolver.Budget{Queries: 2}), l.Account(resolver.Budget{Queries: 1})
	for i := range 4 {
		if _, err := one.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT); (err != nil) != (i >= 2) {
			t.Errorf("one, question %d: %v", i, err)
		}
	}
	for i, name := range []string{"n0.test", "n1.test", "o.test", "p.test"} {
		if _, err := other.Lookup(t.Context(), name, resolver.TXT); (err != nil) != (i == 3) {
			t.Errorf("other, %s: %v", name, err)
		}
	}
	if one.Asked() != 2 || other.Asked() != 1 || next.Count() != 3 {
		t.Errorf("one asked %d, the other %d, in all %q", one.Asked(), other.Asked(), next.Asked)
	}
}

// TestUnanswered: below one registered domain a message makes 40 queries until an answer
// contains records, and then as many as its budget allows.
func TestUnanswered(t *testing.T) {
	for _, tt := range []struct {
		name    string
		next    *fakedns.Fake
		domain  string
		refused int // the first query that is answered, 0 for none
	}{
		{"nothing there", fakedns.Absent(time.Minute), "victim.test", 40},
		{"records", fakedns.Static(time.Minute), "victim.test", 0},
		{"other domains", fakedns.Absent(time.Minute), "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := middleware.NewQueryLog(t.Context(), tt.next, resolver.Budget{})
			defer l.Close()
			for i := range 100 {
				name := fmt.Sprintf("a%d.%s", i, tt.domain)
				if tt.domain == "" {
					name = fmt.Sprintf("a.b%d.test", i)
				}
				_, err := l.Lookup(t.Context(), name, resolver.TXT)
				if refused := tt.refused > 0 && i >= tt.refused; refused != (err != nil) {
					t.Fatalf("question %d: %v", i, err)
				}
			}
			if _, err := l.PolicyAccount(resolver.Budget{}, 0).Lookup(t.Context(), "_dmarc."+tt.domain+"x.victim.test", resolver.TXT); err != nil {
				t.Errorf("a policy: %v", err)
			}
		})
	}
}
