package middleware

import (
	"cmp"
	"context"
	"sync"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// Coalesced asks identical questions that are in flight at the same time once. The caller that
// comes first asks, on its own goroutine, and the others wait for its answer. It is safe for
// concurrent use.
type Coalesced struct {
	next    resolver.Resolver
	mu      sync.Mutex
	flights map[question]*flight
}

// flight is a query in progress. Its outcome may be read once done is closed.
type flight struct {
	done   chan struct{} // made by the first that waits; nil while none does
	answer resolver.Answer
	err    error
	left   bool // the context of the caller that asked has ended: there is no outcome
}

// Coalesce puts a Coalesced before next.
func Coalesce(next resolver.Resolver) *Coalesced {
	return &Coalesced{next: next, flights: make(map[question]*flight)}
}

// Lookup implements Resolver. The end of ctx ends the wait. If it is the caller that asks, the query
// ends too, and one of those that wait asks again: the name server still works on the answer.
func (c *Coalesced) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return resolver.Answer{NXDomain: true}, nil
	}
	q := question{name, t}
	for !ended(ctx) {
		f, first := c.join(q)
		if first {
			return c.fly(ctx, q, f)
		}
		select {
		case <-f.done:
			if !f.left {
				return f.answer, f.err
			}
		case <-ctx.Done():
		}
	}
	return resolver.Answer{}, q.abandoned(cmp.Or(ctx.Err(), context.DeadlineExceeded))
}

// ended reports whether ctx has ended, or is about to: its timer may be late.
func ended(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(d)
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

// join returns the flight of q; first is set if the caller has to ask.
func (c *Coalesced) join(q question) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f = c.flights[q]; f == nil {
		f = &flight{left: true}
		c.flights[q] = f
		return f, true
	}
	if f.done == nil {
		f.done = make(chan struct{})
	}
	return f, false
}

// fly asks q. Should the next resolver panic, those that wait ask for themselves.
func (c *Coalesced) fly(ctx context.Context, q question, f *flight) (resolver.Answer, error) {
	defer c.land(q, f)
	f.answer, f.err = c.next.Lookup(ctx, q.name, q.t)
	f.left = f.err != nil && ended(ctx)
	if f.left {
		return resolver.Answer{}, q.abandoned(cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return f.answer, f.err
}

func (c *Coalesced) land(q question, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, q)
	if f.done != nil {
		close(f.done)
	}
}
