package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postseal/internal/core/middleware"
	"postseal/lab/fakedns"
	"postseal/resolver"
)

func TestCoalesce(t *testing.T) {
	open := make(chan struct{})
	next := fakedns.Held(open)
	c := middleware.Coalesce(next)
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
	fakedns.Eventually(t, "two questions are out", func() bool { return next.Count() == 2 })
	time.Sleep(10 * time.Millisecond)
	close(open)
	work.Wait()
	if n := next.Count(); n > 4 { // a late one of the 21 may have missed the flight
		t.Errorf("asked %d times", n)
	}
	n := next.Count()
	if fakedns.Ask(t, c, "e.test", resolver.TXT); next.Count() != n+1 {
		t.Error("an answer was kept")
	}
}

// TestCoalesceLeaves: one who gives up does not take the answer from the others; who only waits does
// not end the question.
func TestCoalesceLeaves(t *testing.T) {
	open := make(chan struct{})
	ended := make(chan error, 3)
	next := fakedns.Held(open)
	inner := next.Answer
	next.Answer = func(ctx context.Context, name string, typ resolver.Type) (resolver.Answer, error) {
		a, err := inner(ctx, name, typ)
		ended <- err
		return a, err
	}
	c := middleware.Coalesce(next)
	first, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() { _, err := c.Lookup(first, "e.test", resolver.TXT); errs <- err }()
	fakedns.Eventually(t, "the question is out", func() bool { return next.Count() == 1 })
	second := make(chan error)
	go func() { _, err := c.Lookup(context.Background(), "e.test", resolver.TXT); second <- err }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-errs; resolver.KindOf(err) != resolver.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	fakedns.Eventually(t, "who stayed asks", func() bool { return next.Count() == 2 })
	close(open)
	if err := <-second; err != nil || next.Count() != 2 {
		t.Errorf("who stayed got %v, asked %d times", err, next.Count())
	}
	<-ended
	<-ended

	next.Answer = func(ctx context.Context, _ string, _ resolver.Type) (resolver.Answer, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return resolver.Answer{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Lookup(ctx, "e.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout {
		t.Errorf("Lookup = %v", err)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the question whose caller's time is over ended with %v", err)
	}
	if _, err := c.Lookup(ctx, "e.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || next.Count() != 3 {
		t.Errorf("with an ended context: %v, asked %d times", err, next.Count())
	}
}

// TestCoalescePanic: a panic ends the question of the caller that asks, not the wait of the others.
func TestCoalescePanic(t *testing.T) {
	open := make(chan struct{})
	next := fakedns.Held(open)
	inner := next.Answer
	next.Answer = func(ctx context.Context, name string, typ resolver.Type) (resolver.Answer, error) {
		if next.Count() == 1 {
			<-open
			panic("a bug")
		}
		return inner(ctx, name, typ)
	}
	c := middleware.Coalesce(next)
	first := middleware.NewQueryLog(t.Context(), c, resolver.Budget{})
	defer first.Close()
	first.Prefetch("e.test", resolver.TXT)
	fakedns.Eventually(t, "the question is out", func() bool { return next.Count() == 1 })
	second := make(chan error)
	go func() { _, err := c.Lookup(t.Context(), "e.test", resolver.TXT); second <- err }()
	time.Sleep(20 * time.Millisecond)
	close(open)
	if err := <-second; err != nil {
		t.Errorf("who waited got %v", err)
	}
	if _, err := first.Lookup(t.Context(), "e.test", resolver.TXT); resolver.KindOf(err) != resolver.ServFail {
		t.Errorf("who asked got %v", err)
	}
}

func TestLimit(t *testing.T) {
	const limit = 3
	open := make(chan struct{})
	next := fakedns.Held(open)
	l := middleware.NewLimit(next, limit)
	var work sync.WaitGroup
	for i := range 10 {
		work.Go(func() {
			if _, err := l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT); err != nil {
				t.Error(err)
			}
		})
		fakedns.Eventually(t, "each in its place", func() bool { return next.Count()+l.Waiting() == i+1 })
	}
	if next.Count() != limit {
		t.Errorf("%d questions are out, want %d", next.Count(), limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := l.Lookup(ctx, "late.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || l.Waiting() != 7 {
		t.Errorf("waiting past the deadline: %v, %d wait", err, l.Waiting())
	}
	close(open)
	work.Wait()
	if next.Count() != 10 || l.Waiting() != 0 {
		t.Errorf("asked %d times, %d wait", next.Count(), l.Waiting())
	}
	if _, err := l.Lookup(ctx, "late.test", resolver.TXT); resolver.KindOf(err) != resolver.Timeout || next.Count() != 10 {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestLimitOrder: first come, first served; and places are not lost however callers leave.
func TestLimitOrder(t *testing.T) {
	turn := make(chan struct{})
	next := fakedns.Static(time.Minute)
	inner := next.Answer
	next.Answer = func(ctx context.Context, name string, typ resolver.Type) (resolver.Answer, error) {
		<-turn
		return inner(ctx, name, typ)
	}
	l := middleware.NewLimit(next, 1)
	var work sync.WaitGroup
	for i := range 6 {
		work.Go(func() { l.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT) })
		fakedns.Eventually(t, "each in its place", func() bool { return next.Count()+l.Waiting() == i+1 })
	}
	for i := range 6 {
		fakedns.Eventually(t, "the next one", func() bool { return next.Count() == i+1 })
		turn <- struct{}{}
	}
	work.Wait()
	for i, got := range next.Asked {
		if want := fmt.Sprintf("n%d.test TXT", i); got != want {
			t.Errorf("place %d: %s, want %s", i, got, want)
		}
	}

	quick := middleware.NewLimit(fakedns.Static(0), 2)
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
	held := middleware.NewLimit(quick, 0)
	fakedns.Ask(t, held, "e.test", resolver.TXT)
	if quick.Waiting() != 0 {
		t.Errorf("%d wait for nobody", quick.Waiting())
	}
}

// TestPeekThrough: the middlewares know what the resolver below them knows.
func TestPeekThrough(t *testing.T) {
	cache := resolver.NewCache(fakedns.Static(time.Minute), resolver.CacheOptions{})
	fakedns.Ask(t, cache, "e.test", resolver.TXT)
	for name, p := range map[string]middleware.Peeker{"coalesce": middleware.Coalesce(cache), "limit": middleware.NewLimit(cache, 1)} {
		if _, ok := p.Peek("e.test", resolver.TXT); !ok {
			t.Errorf("%s does not know", name)
		}
	}
	for name, p := range map[string]middleware.Peeker{"coalesce": middleware.Coalesce(fakedns.Static(0)), "limit": middleware.NewLimit(fakedns.Static(0), 1)} {
		if _, ok := p.Peek("e.test", resolver.TXT); ok {
			t.Errorf("%s knows", name)
		}
		if a, err := p.(resolver.Resolver).Lookup(t.Context(), "a..test", resolver.TXT); err != nil || !a.NXDomain {
			t.Errorf("%s: impossible name: %+v, %v", name, a, err)
		}
	}
}
