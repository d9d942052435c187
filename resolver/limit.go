package resolver

import (
	"container/list"
	"context"
	"sync"
)

// DefaultOutstanding is how many questions of a Limit are outstanding at most, if it is
// not told.
const DefaultOutstanding = 256

// Limit bounds the questions that are outstanding at the same time; others wait their
// turn, first come first served. It is safe for concurrent use.
type Limit struct {
	next  Resolver
	mu    sync.Mutex
	free  int
	queue list.List // of chan struct{}, closed when its turn has come
}

// NewLimit puts a Limit of n questions before next; n of 0 or less is
// DefaultOutstanding.
func NewLimit(next Resolver, n int) *Limit {
	if n <= 0 {
		n = DefaultOutstanding
	}
	return &Limit{next: next, free: n}
}

// Lookup implements Resolver. The end of ctx ends the wait too.
func (l *Limit) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	name, valid := canonical(name)
	if !valid {
		return Answer{NXDomain: true}, nil
	}
	if err := l.enter(ctx); err != nil {
		return Answer{}, question{name, t}.abandoned(err)
	}
	defer l.leave()
	return l.next.Lookup(ctx, name, t)
}

// Peek implements Peeker, if next does.
func (l *Limit) Peek(name string, t Type) (Answer, bool) { return peekNext(l.next, name, t) }

// Waiting returns how many questions wait for their turn.
func (l *Limit) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Len()
}

func (l *Limit) enter(ctx context.Context) error {
	l.mu.Lock()
	if err := ctx.Err(); err != nil {
		l.mu.Unlock()
		return err
	}
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := l.queue.PushBack(turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-turn: // both at once: pass the turn on
		l.pass()
	default:
		l.queue.Remove(place)
	}
	return ctx.Err()
}

func (l *Limit) leave() {
	l.mu.Lock()
	l.pass()
	l.mu.Unlock()
}

// pass gives the turn to the first in the queue.
func (l *Limit) pass() {
	first := l.queue.Front()
	if first == nil {
		l.free++
		return
	}
	close(l.queue.Remove(first).(chan struct{}))
}
