package pace_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/app/pace"
	"postseal/resolver"
)

// server answers after a delay, and counts.
type server struct {
	delay     time.Duration
	out, most atomic.Int64
	asked     atomic.Int64
}

// Lookup implements resolver.Resolver.
func (s *server) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	n := s.out.Add(1)
	defer s.out.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	s.asked.Add(1)
	select {
	case <-time.After(s.delay):
		return resolver.Answer{}, nil
	case <-ctx.Done():
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Canceled, Err: ctx.Err()}
	}
}

func ask(ctx context.Context, r *pace.Resolver, n int, name func(i int) string) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { r.Lookup(ctx, name(i), resolver.TXT) })
	}
	all.Wait()
}

func everywhere(i int) string { return fmt.Sprintf("d%d.test", i) }

// TestRate: never more than N queries per second.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{delay: time.Millisecond}
		start := time.Now()
		ask(t.Context(), pace.New(s, pace.Options{Rate: 50}), 501, everywhere)
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("501 questions at 50 a second took %v", took)
		}
	})
}

// TestPerZone: the servers of one domain get few questions at once, whatever else is asked.
func TestPerZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{delay: 10 * time.Millisecond}
		ask(t.Context(), pace.New(s, pace.Options{PerZone: 5}), 200, func(i int) string { return fmt.Sprintf("x%d.d.test", i) })
		if s.most.Load() != 5 {
			t.Errorf("%d at once below one domain", s.most.Load())
		}
	})
}

// TestReverseZones: names of addresses have the servers of a network, which share nothing with the others
// of the same first octet.
func TestReverseZones(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   func(i int) string
		most int64
	}{
		{"one network", func(i int) string { return fmt.Sprintf("%d.2.0.192.in-addr.arpa", i) }, 5},
		{"twenty networks", func(i int) string { return fmt.Sprintf("%d.%d.0.192.in-addr.arpa", i, i%20) }, 100},
		{"one network of IPv6", func(i int) string {
			return fmt.Sprintf("%d.%s8.b.d.0.1.0.0.2.ip6.arpa", i%10, strings.Repeat("0.", 23))
		}, 5},
		{"ten networks of IPv6", func(i int) string {
			return fmt.Sprintf("%s%d.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", strings.Repeat("0.", 20), i%10)
		}, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{delay: 10 * time.Millisecond}
				ask(t.Context(), pace.New(s, pace.Options{PerZone: 5}), 200, tt.of)
				if s.most.Load() != tt.most {
					t.Errorf("%d at once, want %d", s.most.Load(), tt.most)
				}
			})
		})
	}
}

// TestWindow: it grows while answers come in time, and no further than its bound; slow answers
// make it smaller, and no smaller than its bound.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := &server{delay: 20 * time.Millisecond}
		r := pace.New(fast, pace.Options{Least: 4, Most: 16})
		ask(t.Context(), r, 500, everywhere)
		if r.Window() != 16 || fast.most.Load() != 16 {
			t.Errorf("window %d, %d at once", r.Window(), fast.most.Load())
		}
		fast.delay = 2 * time.Second
		ask(t.Context(), r, 300, everywhere)
		if r.Window() != 4 {
			t.Errorf("window %d after slow answers", r.Window())
		}
	})
}

// TestSlowStart: until a query is lost, the window grows by one for each answer.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{delay: 20 * time.Millisecond}
		r := pace.New(s, pace.Options{Least: 4, Most: 1000})
		ask(t.Context(), r, 96, everywhere)
		if r.Window() != 100 {
			t.Errorf("window %d after 96 answers in time", r.Window())
		}
		s.delay = 2 * time.Second
		ask(t.Context(), r, 96, everywhere)
		s.delay = 20 * time.Millisecond
		cut := r.Window()
		ask(t.Context(), r, cut, everywhere)
		if got := r.Window(); cut >= 100 || got > cut+1 {
			t.Errorf("window %d after losses, %d after as many answers", cut, got)
		}
	})
}

// TestCancel: a question that waits for its turn ends with its context, and leaves the turn to
// others.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{delay: time.Hour}
		r := pace.New(s, pace.Options{Least: 1, Most: 1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		for i := range 3 {
			go func() { _, err := r.Lookup(ctx, everywhere(i), resolver.TXT); done <- err }()
		}
		synctest.Wait()
		cancel()
		for range 3 {
			if err := <-done; err == nil {
				t.Error("a question without an answer has no error")
			}
		}
		s.delay = 0
		if _, err := r.Lookup(t.Context(), "a.test", resolver.TXT); err != nil || s.asked.Load() != 2 {
			t.Errorf("%v, %d asked", err, s.asked.Load())
		}
	})
}

// TestSilentZone: of a domain whose servers never answer few questions are asked, the others fail
// as those did, and no other domain waits for them. After a while they are asked again.
func TestSilentZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mute{server: server{delay: 20 * time.Millisecond}}
		r := pace.New(s, pace.Options{Least: 8, Most: 8})
		var all sync.WaitGroup
		start := time.Now()
		for i := range 40 {
			all.Go(func() {
				_, err := r.Lookup(t.Context(), fmt.Sprintf("x%d.mute.test", i), resolver.TXT)
				if resolver.KindOf(err) != resolver.Timeout || time.Since(start) > 5*time.Second {
					t.Errorf("question %d: %v after %v", i, err, time.Since(start))
				}
			})
		}
		synctest.Wait()
		ask(t.Context(), r, 100, everywhere)
		if took := time.Since(start); took > time.Second {
			t.Errorf("100 questions about others took %v", took)
		}
		all.Wait()
		if got := s.unanswered.Load(); got != 4 {
			t.Errorf("%d questions were sent to servers that never answer, want 4", got)
		}
		time.Sleep(time.Minute)
		s.speaks.Store(true)
		if _, err := r.Lookup(t.Context(), "x.mute.test", resolver.TXT); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// mute answers nothing below mute.test until it speaks.
type mute struct {
	server
	unanswered atomic.Int64
	speaks     atomic.Bool
}

// Lookup implements resolver.Resolver.
func (m *mute) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if m.speaks.Load() || !strings.HasSuffix(name, ".mute.test") {
		return m.server.Lookup(ctx, name, t)
	}
	m.unanswered.Add(1)
	time.Sleep(4 * time.Second)
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
}
