package resolver

import (
	"context"
	"sync/atomic"
	"time"
)

// Link is a question that stands in a record, which is asked each time that the record is
// evaluated: it leads straight to the answer as long as a Cache keeps it. It is safe for
// concurrent use, and must not be copied.
type Link struct {
	question
	valid bool
	entry atomic.Pointer[cached]
}

// Set makes l the question for the records of type t at name. It is called once, before l is
// used.
func (l *Link) Set(name string, t Type) {
	l.question, l.valid = question{canonicalName(name), t}, ValidName(name)
}

// momentary is a Peeker that can be asked for many answers at one time. Names are canonical
// and valid there.
type momentary interface {
	moment() time.Time
	peekAt(now time.Time, q question) (Answer, bool)
	followAt(now time.Time, l *Link) (*Answer, time.Duration)
}

// view is a Peeker at one time, if it can be asked so: a clock costs as much as an answer.
type view struct {
	peeker    Peeker
	momentary momentary // the same, nil if it is none
	now       time.Time
}

func viewOf(p Peeker) view {
	v := view{peeker: p}
	v.momentary, _ = p.(momentary)
	v.refresh()
	return v
}

func (v *view) refresh() {
	if v.momentary != nil {
		v.now = v.momentary.moment()
	}
}

func (v *view) peek(q question) (Answer, bool) {
	if v.momentary != nil {
		return v.momentary.peekAt(v.now, q)
	}
	return v.peeker.Peek(q.name, q.t)
}

// follow returns the answer to the question of l, which is shared, and what is left of its
// TTL; nil when it is not known.
func (v *view) follow(l *Link) (*Answer, time.Duration) {
	if v.momentary != nil {
		return v.momentary.followAt(v.now, l)
	}
	if a, ok := v.peeker.Peek(l.name, l.t); ok {
		return &a, a.TTL
	}
	return nil, 0
}

// Known is a view of a Peeker that waits for nothing: a question whose answer is not
// there fails, and Missed tells. It serves one evaluation, of one goroutine.
type Known struct {
	view
	Missed bool
}

// NewKnown is what p knows now.
func NewKnown(p Peeker) Known { return Known{view: viewOf(p)} }

var errUnknown = &Error{Kind: Canceled}

// Lookup implements Resolver.
func (k *Known) Lookup(_ context.Context, name string, t Type) (Answer, error) {
	q := question{canonicalName(name), t}
	if !ValidName(q.name) {
		return Answer{NXDomain: true}, nil
	}
	a, ok := k.peek(q)
	if k.Missed = k.Missed || !ok; k.Missed {
		return Answer{}, errUnknown
	}
	return a, nil
}

var noSuchName = Answer{NXDomain: true}

// Follow is Lookup of the question of l. The answer is shared; what is left of its TTL is told
// beside it.
func (k *Known) Follow(l *Link) (*Answer, time.Duration, error) {
	if !l.valid {
		return &noSuchName, 0, nil
	}
	a, ttl := k.follow(l)
	if k.Missed = k.Missed || a == nil; k.Missed {
		return nil, 0, errUnknown
	}
	return a, ttl, nil
}
