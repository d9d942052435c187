package middleware

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// slow answers with a record of so many octets when it is told to.
type slow struct {
	size   int
	answer chan struct{}
	flying atomic.Int32
	most   atomic.Int32
}

func (s *slow) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	s.most.Store(max(s.most.Load(), s.flying.Add(1)))
	defer s.flying.Add(-1)
	select {
	case <-s.answer:
		return resolver.Answer{Records: []resolver.RR{{Text: strings.Repeat("x", s.size)}}}, nil
	case <-ctx.Done():
		return resolver.Answer{}, ctx.Err()
	}
}

// TestQueryLogInFlight: answers count before they arrive. An account has no more questions in flight
// than it has room for the answers of, however many it asks at the same time, and what comes
// beyond its octets is not kept.
func TestQueryLogInFlight(t *testing.T) {
	for _, tt := range []struct {
		name          string
		budget, size  int
		most, records int
	}{
		{"small answers", 1 << 20, 100, inFlight, 100},
		{"room for three", 3 * inFlightBytes, 100, 3, 100 * (3 * inFlightBytes) / (100 * (100 + dnsdata.RecordBytes("", 0, "", nil)))},
		{"room for none", 10, 100, 1, 0},
		{"large answers", 100 << 10, 40 << 10, inFlight, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{size: tt.size, answer: make(chan struct{})}
				l := NewQueryLog(t.Context(), s, resolver.Budget{})
				a := l.Account(resolver.Budget{Queries: 1000, Bytes: tt.budget})
				for i := range 100 {
					a.Prefetch(fmt.Sprintf("n%d.test", i), resolver.TXT)
				}
				synctest.Wait()
				close(s.answer)
				got := 0
				for i := range 100 {
					if r, err := a.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT); err == nil {
						got += len(r.Records)
					}
				}
				l.Close()
				if int(s.most.Load()) != tt.most || got != tt.records {
					t.Errorf("%d questions were in flight, %d records kept, want %d and %d", s.most.Load(), got, tt.most, tt.records)
				}
				if taken := l.Bytes(); taken > tt.budget+100*300 {
					t.Errorf("the query log takes %d octets", taken)
				}
			})
		})
	}
}

// TestQueryLogEndsQueued: questions that wait for their turn end with the query log.
func TestQueryLogEndsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{answer: make(chan struct{})}
		l := NewQueryLog(t.Context(), s, resolver.Budget{})
		for i := range 30 {
			l.Prefetch(fmt.Sprintf("n%d.test", i), resolver.TXT)
		}
		synctest.Wait()
		l.Cancel()
		if _, err := l.Lookup(t.Context(), "n29.test", resolver.TXT); resolver.KindOf(err) != resolver.Canceled {
			t.Errorf("got %v, want canceled", err)
		}
		l.Close()
	})
}

// TestQueryLogsInFlight: with many messages at the same time each has fewer questions in flight, so that not
// every question has a goroutine that waits for its turn. All are answered.
func TestQueryLogsInFlight(t *testing.T) {
	const logs, questions = 600, 10
	synctest.Test(t, func(t *testing.T) {
		s := &slow{answer: make(chan struct{})}
		all := make([]*QueryLog, logs)
		for i := range all {
			all[i] = NewQueryLog(t.Context(), s, resolver.Budget{})
			for j := range questions {
				all[i].Prefetch(fmt.Sprintf("n%d.m%d.test", j, i), resolver.TXT)
			}
		}
		synctest.Wait()
		if got, most := int(s.flying.Load()), crowd+logs*crowdedInFlight; got < crowd || got > most {
			t.Errorf("%d questions are in flight, want at most %d", got, most)
		}
		close(s.answer)
		for i, l := range all {
			for j := range questions {
				if r, err := l.Lookup(t.Context(), fmt.Sprintf("n%d.m%d.test", j, i), resolver.TXT); err != nil || len(r.Records) != 1 {
					t.Fatalf("%+v, %v", r, err)
				}
			}
			l.Close()
		}
	})
	if n := allInFlight.Load(); n != 0 {
		t.Errorf("%d questions are counted after the last one", n)
	}
}
