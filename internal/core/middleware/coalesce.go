package middleware

import (
	"context"
	"sync"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// Coalesced asks identical questions that are in flight at the same time once. It is
// safe for concurrent use.
type Coalesced struct {
	next    resolver.Resolver
	mu      sync.Mutex
	flights map[question]*flight
}

// flight is a query in progress. Its context belongs to no caller: it ends when the last
// waiting caller has gone.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int // under Coalesced.mu
	answer  resolver.Answer
	err     error
}

// Coalesce puts a Coalesced before next.
func Coalesce(next resolver.Resolver) *Coalesced {
	return &Coalesced{next: next, flights: make(map[question]*flight)}
}

// Lookup implements Resolver. The end of ctx ends the wait, and also the query if no other
// caller waits for it.
func (c *Coalesced) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return resolver.Answer{NXDomain: true}, nil
	}
	q := question{name, t}
	if err := ctx.Err(); err != nil {
		return resolver.Answer{}, q.abandoned(err)
	}
	f := c.join(ctx, q)
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		c.leave(q, f)
		return resolver.Answer{}, q.abandoned(ctx.Err())
	}
}

// abandoned is the error of a caller whose context ended.
func (q question) abandoned(err error) error {
	return &resolver.Error{Name: q.name, Type: q.t, Kind: resolver.KindOf(err), Err: err}
}

// Peek implements Peeker, if next does.
func (c *Coalesced) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	return peekNext(c.next, name, t)
}

func peekNext(next resolver.Resolver, name string, t resolver.Type) (resolver.Answer, bool) {
	if p, ok := next.(Peeker); ok {
		return p.Peek(name, t)
	}
	return resolver.Answer{}, false
}

func (c *Coalesced) join(asker context.Context, q question) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flights[q]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		var ctx context.Context
		ctx, f.cancel = context.WithCancel(context.WithoutCancel(asker))
		c.flights[q] = f
		go c.fly(ctx, q, f)
	}
	f.waiting++
	return f
}

func (c *Coalesced) fly(ctx context.Context, q question, f *flight) {
	f.answer, f.err = c.next.Lookup(ctx, q.name, q.t)
	f.cancel()
	c.mu.Lock()
	c.land(q, f)
	c.mu.Unlock()
	close(f.done)
}

func (c *Coalesced) leave(q question, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		c.land(q, f) // who asks from now on starts again
	}
}

func (c *Coalesced) land(q question, f *flight) {
	if c.flights[q] == f {
		delete(c.flights, q)
	}
}
