// Package fakedns has resolvers and a clock for the tests of what stands before a resolver.
package fakedns

import (
	"context"
	"sync"
	"testing"
	"time"

	"postseal/resolver"
)

// Fake is a Resolver made of a function, which counts its questions.
type Fake struct {
	Answer func(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error)
	mu     sync.Mutex
	Asked  []string
}

// Lookup implements resolver.Resolver.
func (f *Fake) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	f.mu.Lock()
	f.Asked = append(f.Asked, name+" "+t.String())
	f.mu.Unlock()
	return f.Answer(ctx, name, t)
}

// Count returns how many questions there were.
func (f *Fake) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.Asked)
}

// Static answers each question with one TXT record that repeats it.
func Static(ttl time.Duration) *Fake {
	return &Fake{Answer: func(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
		text := name + " " + t.String()
		return resolver.Answer{Records: []resolver.RR{{Text: text, Strings: []int{len(text)}}}, Canonical: name, TTL: ttl, Security: resolver.Insecure}, nil
	}}
}

// Held answers only when open is closed or ctx ends.
func Held(open <-chan struct{}) *Fake {
	f := Static(time.Minute)
	next := f.Answer
	f.Answer = func(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
		select {
		case <-open:
			return next(ctx, name, t)
		case <-ctx.Done():
			return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
		}
	}
	return f
}

// Eventually waits for what other goroutines do.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 5 s: %s", what)
		}
	}
}

type clock struct{ now time.Time }

// NewClock returns a Clock that stands at 2026-01-05.
func NewClock() *clock { return &clock{time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Advance(d time.Duration) { c.now = c.now.Add(d) }

// Fixed answers each question with a.
func Fixed(a resolver.Answer) *Fake { return Failing(a, nil) }

// Absent answers each question with NXDOMAIN.
func Absent(ttl time.Duration) *Fake { return Fixed(resolver.Answer{NXDomain: true, TTL: ttl}) }

// Ask looks up, and ends the test on an error.
func Ask(t testing.TB, r resolver.Resolver, name string, typ resolver.Type) resolver.Answer {
	t.Helper()
	a, err := r.Lookup(t.Context(), name, typ)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Failing answers each question with a and err.
func Failing(a resolver.Answer, err error) *Fake {
	return &Fake{Answer: func(context.Context, string, resolver.Type) (resolver.Answer, error) { return a, err }}
}
