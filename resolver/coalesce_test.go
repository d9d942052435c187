package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postseal/resolver"
)

func TestCoalesce(t *testing.T) {
	open := make(chan struct{})
	next := held(open)
	c := resolver.Coalesce(next)
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			name := []string{"e.test", "E.Test."}[i%2]
			if a, err := c.Lookup(t.Context(), name, resolver.TXT); err != nil || a.Records[0].Text != "e.test TXT" {
				t.Errorf("Lookup = %+v, %v", a, err)
			}
		})
	}
	work.Go(func() { c.Lookup(t.Context(), "e.test", resolver.MX) })
	eventually(t, "two questions are out", func() bool { return next.count() == 2 })
	time.Sleep(10 * time.Millisecond)
	close(open)
	work.Wait()
	if n := next.count(); n > 4 { // a late one of the 21 may have missed the flight
		t.Errorf("asked %d times", n)
	}
	n := next.count()
	if ask(t, c, "e.test", resolver.TXT); next.count() != n+1 {
		t.Error("an answer was kept")
	}
}

// TestCoalesceLeaves: one who gives up does not take the question from the others; the
// last one does.
func TestCoalesceLeaves(t *testing.T) {
	open := make(chan struct{})
	ended := make(chan error, 1)
	next := held(open)
	inner := next.answer
	next.answer = func(ctx context.Context, name string, typ resolver.Type) (resolver.Answer, error) {
		a, err := inner(ctx, name, typ)
		ended <- err
		return a, err
	}
	c := resolver.Coalesce(next)
	first, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() { _, err := c.Lookup(first, "e.test", resolver.TXT); errs <- err }()
	eventually(t, "the question is out", func() bool { return next.count() == 1 })
	second := make(chan error)
	go func() { _, err := c.Lookup(context.Background(), "e.test", resolver.TXT); second <- err }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-errs; resolver.KindOf(err) != resolver.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(open)
	if err := <-second; err != nil || next.count() != 1 {
		t.Errorf("who stayed got %v, asked %d times", err, next.count())
	}
	<-ended

	next.answer = func(ctx context.Context, _ string, _ resolver.Type) (resolver.Answer, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return resolver.Answer{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Lookup(ctx, "e.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout {
		t.Errorf("Lookup = %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the question that nobody waits for ended with %v", err)
	}
	if _, err := c.Lookup(ctx, "e.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || next.count() != 2 {
		t.Errorf("with an ended context: %v, asked %d times", err, next.count())
	}
}

func TestLimit(t *testing.T) {
	const limit = 3
	open := make(chan struct{})
	next := held(open)
	l := resolver.NewLimit(next, limit)
	var work sync.WaitGroup
	for i := range 10 {
		work.Go(func() {
			if _, err := l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "each in its place", func() bool { return next.count()+l.Waiting() == i+1 })
	}
	if next.count() != limit {
		t.Errorf("%d questions are out, want %d", next.count(), limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := l.Lookup(ctx, "late.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || l.Waiting() != 7 {
		t.Errorf("waiting past the deadline: %v, %d wait", err, l.Waiting())
	}
	close(open)
	work.Wait()
	if next.count() != 10 || l.Waiting() != 0 {
		t.Errorf("asked %d times, %d wait", next.count(), l.Waiting())
	}
	if _, err := l.Lookup(ctx, "late.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || next.count() != 10 {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestLimitOrder: first come, first served; and places are not lost however callers leave.
func TestLimitOrder(t *testing.T) {
	turn := make(chan struct{})
	next := static(time.Minute)
	inner := next.answer
	next.answer = func(ctx context.Context, name string, typ resolver.Type) (resolver.Answer, error) {
		<-turn
		return inner(ctx, name, typ)
	}
	l := resolver.NewLimit(next, 1)
	var work sync.WaitGroup
	for i := range 6 {
		work.Go(func() { l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT) })
		eventually(t, "each in its place", func() bool { return next.count()+l.Waiting() == i+1 })
	}
	for i := range 6 {
		eventually(t, "the next one", func() bool { return next.count() == i+1 })
		turn <- struct{}{}
	}
	work.Wait()
	for i, got := range next.asked {
		if want := fmt.Sprintf("n%d.test TXT", i); got != want {
			t.Errorf("place %d: %s, want %s", i, got, want)
		}
	}

	quick := resolver.NewLimit(static(0), 2)
	for range 8 {
		work.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*time.Microsecond)
				quick.Lookup(ctx, "e.test", resolver.TXT)
				cancel()
			}
		})
	}
	work.Wait()
	held := resolver.NewLimit(quick, 0)
	ask(t, held, "e.test", resolver.TXT)
	if quick.Waiting() != 0 {
		t.Errorf("%d wait for nobody", quick.Waiting())
	}
}

// TestPeekThrough: the middlewares know what the resolver below them knows.
func TestPeekThrough(t *testing.T) {
	cache := resolver.NewCache(static(time.Minute), resolver.CacheOptions{})
	ask(t, cache, "e.test", resolver.TXT)
	for name, p := range map[string]resolver.Peeker{"coalesce": resolver.Coalesce(cache), "limit": resolver.NewLimit(cache, 1)} {
		if _, ok := p.Peek("e.test", resolver.TXT); !ok {
			t.Errorf("%s does not know", name)
		}
	}
	for name, p := range map[string]resolver.Peeker{"coalesce": resolver.Coalesce(static(0)), "limit": resolver.NewLimit(static(0), 1)} {
		if _, ok := p.Peek("e.test", resolver.TXT); ok {
			t.Errorf("%s knows", name)
		}
		if a, err := p.(resolver.Resolver).Lookup(t.Context(), "a..test", resolver.TXT); err != nil || !a.NXDomain {
			t.Errorf("%s: impossible name: %+v, %v", name, a, err)
		}
	}
}
