package middleware_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/core/middleware"
	"postseal/lab/fakedns"
	"postseal/resolver"
)

// sick answers as long as it is well; senders fails for every name but the probe's.
type sick struct {
	dead    atomic.Bool
	senders atomic.Bool
	asked   atomic.Int64
	probes  atomic.Int64
}

func (s *sick) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	s.asked.Add(1)
	if name == "arpa" {
		s.probes.Add(1)
	}
	if s.dead.Load() || name != "arpa" && s.senders.Load() {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return resolver.Answer{Records: []resolver.RR{{Text: "x"}}, TTL: time.Minute}, nil
}

func kind(r resolver.Resolver, name string) resolver.Kind {
	_, err := r.Lookup(context.Background(), name, resolver.TXT)
	if err == nil {
		return ""
	}
	return resolver.KindOf(err)
}

func TestBreaker(t *testing.T) {
	now := fakedns.NewClock()
	var changes []bool
	s := new(sick)
	b := middleware.NewBreaker(s, middleware.BreakerOptions{Failures: 5, Interval: time.Second, Now: now.Now, Changed: func(open bool) { changes = append(changes, open) }})
	s.dead.Store(true)
	for i := range 5 {
		if got := kind(b, fmt.Sprintf("a%d.test", i)); got != resolver.Timeout || b.Open() {
			t.Fatalf("question %d: %s, open %v, want a timeout", i, got, b.Open())
		}
	}
	if got := kind(b, "b.test"); got != resolver.Down || !b.Open() || s.asked.Load() != 7 {
		t.Fatalf("got %s, open %v, %d questions, want down after two probes", got, b.Open(), s.asked.Load())
	}
	for range 1000 {
		if got := kind(b, "c.test"); got != resolver.Down {
			t.Fatalf("got %s, want down", got)
		}
	}
	if got := s.asked.Load(); got != 7 {
		t.Errorf("%d questions while it is open, want none", got-7)
	}
	now.Advance(time.Second)
	if got := kind(b, "d.test"); got != resolver.Down || s.probes.Load() != 3 {
		t.Errorf("got %s with %d probes, want another probe that fails", got, s.probes.Load())
	}
	s.dead.Store(false)
	if got := kind(b, "e.test"); got != resolver.Down {
		t.Errorf("got %s before the interval is over, want down", got)
	}
	now.Advance(time.Second)
	if got := kind(b, "f.test"); got != "" || b.Open() {
		t.Errorf("got %s, open %v, want an answer", got, b.Open())
	}
	if fmt.Sprint(changes) != "[true false]" {
		t.Errorf("changes %v", changes)
	}
}

// TestBreakerSenders: name servers of senders that are silent, however many, open nothing.
func TestBreakerSenders(t *testing.T) {
	now := fakedns.NewClock()
	s := new(sick)
	s.senders.Store(true)
	b := middleware.NewBreaker(s, middleware.BreakerOptions{Failures: 5, Now: now.Now})
	for i := range 100 {
		if got := kind(b, fmt.Sprintf("a%d.evil.test", i)); got != resolver.Timeout {
			t.Fatalf("question %d: %s, want a timeout", i, got)
		}
		now.Advance(time.Second)
	}
	if b.Open() || s.probes.Load() == 0 || s.probes.Load() > 20 {
		t.Errorf("open %v after %d probes, want closed and few", b.Open(), s.probes.Load())
	}
}

// TestBreakerNeutral: what says nothing of the resolver counts for nothing.
func TestBreakerNeutral(t *testing.T) {
	for _, k := range []resolver.Kind{resolver.Bogus, resolver.Canceled, resolver.OverBudget, resolver.Missing} {
		next := fakedns.Failing(resolver.Answer{}, &resolver.Error{Kind: k})
		b := middleware.NewBreaker(next, middleware.BreakerOptions{Failures: 2})
		for range 10 {
			if got := kind(b, "a.test"); got != k || b.Open() {
				t.Errorf("%s: got %s, open %v", k, got, b.Open())
			}
		}
		if next.Count() != 10 {
			t.Errorf("%s: %d questions, want 10 and no probe", k, next.Count())
		}
	}
	if a, err := middleware.NewBreaker(new(sick), middleware.BreakerOptions{}).Lookup(t.Context(), "a..test", resolver.TXT); err != nil || !a.NXDomain {
		t.Errorf("a name that cannot exist: %+v, %v", a, err)
	}
}

// TestBreakerCanceledProbe: a caller who goes away decides nothing.
func TestBreakerCanceledProbe(t *testing.T) {
	s := new(sick)
	s.dead.Store(true)
	b := middleware.NewBreaker(s, middleware.BreakerOptions{Failures: 1, Now: fakedns.NewClock().Now})
	kind(b, "a.test")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Lookup(ctx, "b.test", resolver.TXT); err == nil || b.Open() {
		t.Errorf("Lookup = %v, open %v, want closed", err, b.Open())
	}
}

func TestBreakerConcurrent(t *testing.T) {
	s := new(sick)
	b := middleware.NewBreaker(s, middleware.BreakerOptions{Failures: 3, Interval: time.Microsecond})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 500 {
				s.dead.Store(j%100 < 50 && i == 0 || i != 0 && s.dead.Load())
				kind(b, fmt.Sprintf("a%d.test", j))
			}
		})
	}
	work.Wait()
	s.dead.Store(false)
	fakedns.Eventually(t, "an answer", func() bool { return kind(b, "z.test") == "" })
}

// TestBreakerProbeDoesNotWait: the probe has its own way, since questions for silent name
// servers may have taken all slots.
func TestBreakerProbeDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		direct := &silentSenders{}
		b := middleware.NewBreaker(middleware.NewLimit(direct, 4), middleware.BreakerOptions{Probe: direct, Failures: 5})
		var work sync.WaitGroup
		for i := range 100 {
			work.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				b.Lookup(ctx, fmt.Sprintf("a%d.evil%d.test", i, i), resolver.TXT)
			})
			time.Sleep(100 * time.Millisecond)
			if b.Open() {
				t.Fatalf("open after %d questions", i)
			}
		}
		work.Wait()
		if direct.probes.Load() == 0 {
			t.Error("no probe was made")
		}
	})
}

// silentSenders answers the probe alone.
type silentSenders struct{ probes atomic.Int64 }

func (s *silentSenders) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if name == "arpa" {
		s.probes.Add(1)
		return resolver.Answer{Records: []resolver.RR{{Target: "ns.test"}}, TTL: time.Minute}, nil
	}
	<-ctx.Done()
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout, Err: ctx.Err()}
}

// mutes answers nothing until the question ends, but for the names that it knows, and the probe if
// it is not dead.
type mutes struct {
	dead   bool
	knows  string
	probes atomic.Int64
}

func (m *mutes) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if name == "arpa" {
		m.probes.Add(1)
	}
	if name == m.knows || name == "arpa" && !m.dead {
		return resolver.Answer{NXDomain: true}, nil
	}
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	<-wait.Done()
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
}

// TestBreakerSilence: a dead resolver is found out while the first question waits, so that the
// next fails at once; the silent name servers of a sender open nothing, and neither does a
// question that is answered meanwhile.
func TestBreakerSilence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		next   *mutes
		other  string // asked after 2 s
		open   bool
		probes int64
	}{
		{"dead", &mutes{dead: true}, "", true, 2},
		{"silent sender", &mutes{}, "", false, 1},
		{"others are answered", &mutes{dead: true, knows: "b.test"}, "b.test", false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := middleware.NewBreaker(tt.next, middleware.BreakerOptions{})
				var other sync.WaitGroup
				if tt.other != "" {
					other.Go(func() {
						time.Sleep(2 * time.Second)
						kind(b, tt.other)
					})
				}
				if got := kind(b, "a.test"); got != resolver.Timeout {
					t.Fatalf("got %s, want a timeout", got)
				}
				other.Wait()
				if b.Open() != tt.open || tt.next.probes.Load() != tt.probes {
					t.Errorf("open %v after %d probes, want %v after %d", b.Open(), tt.next.probes.Load(), tt.open, tt.probes)
				}
				began := time.Now()
				got := kind(b, "c.test")
				if took := time.Since(began); tt.open && (got != resolver.Down || took > 100*time.Millisecond) {
					t.Errorf("the next question: %s after %v, want down at once", got, took)
				}
				time.Sleep(middleware.DefaultBreakerPatience) // the last probe ends
			})
		})
	}
}

// TestBreakerClockStep: a breaker that is open probes at once after a step back, not an
// hour later.
func TestBreakerClockStep(t *testing.T) {
	for _, step := range []time.Duration{-72 * time.Hour, -time.Hour, time.Hour, 72 * time.Hour} {
		now := fakedns.NewClock()
		s := new(sick)
		b := middleware.NewBreaker(s, middleware.BreakerOptions{Failures: 2, Interval: time.Second, Now: now.Now})
		s.dead.Store(true)
		for i := range 3 {
			kind(b, fmt.Sprintf("a%d.test", i))
		}
		if !b.Open() {
			t.Fatal("the breaker is closed")
		}
		s.dead.Store(false)
		now.Advance(step)
		if got := kind(b, "b.test"); got != "" || b.Open() {
			t.Errorf("step %v: got %q, open %v, want an answer", step, got, b.Open())
		}
	}
}
