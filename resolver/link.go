package resolver

import (
	"context"
	"sync/atomic"
	"time"
)

// Link is a name that stands in a record, and is asked for each time that the record is
// evaluated: it leads straight to the answers as long as a Cache keeps them. It is safe for
// concurrent use, and must not be copied.
type Link struct {
	name    string
	valid   bool
	entries [4]atomic.Pointer[cached] // see place
}

// NewLink makes the Link of a name.
func NewLink(name string) *Link { return &Link{name: canonicalName(name), valid: ValidName(name)} }

// place is where the way to the answer of a type is kept, nil for a type that has none.
func (l *Link) place(t Type) *atomic.Pointer[cached] {
	switch t {
	case TXT:
		return &l.entries[0]
	case A:
		return &l.entries[1]
	case AAAA:
		return &l.entries[2]
	case MX:
		return &l.entries[3]
	}
	return nil
}

// momentary is a Peeker that can be asked for many answers at one time. Names are canonical
// and valid there.
type momentary interface {
	moment() time.Time
	peekAt(now time.Time, q question) (*Answer, time.Duration)
	followAt(now time.Time, l *Link, t Type) (*Answer, time.Duration)
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

// peek returns the answer to q, which is shared, and what is left of its TTL; nil when it is
// not known.
func (v *view) peek(q question) (*Answer, time.Duration) {
	if v.momentary != nil {
		return v.momentary.peekAt(v.now, q)
	}
	if a, ok := v.peeker.Peek(q.name, q.t); ok {
		return &a, a.TTL
	}
	return nil, 0
}

// follow is peek for the records of type t at l.
func (v *view) follow(l *Link, t Type) (*Answer, time.Duration) {
	if v.momentary != nil {
		return v.momentary.followAt(v.now, l, t)
	}
	return v.peek(question{l.name, t})
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
	a, left := k.peek(q)
	if k.Missed = k.Missed || a == nil; k.Missed {
		return Answer{}, errUnknown
	}
	return a.with(left), nil
}

var noSuchName = Answer{NXDomain: true}

// Follow is Lookup of the name of l. The answer is shared; what is left of its TTL is told
// beside it.
func (k *Known) Follow(l *Link, t Type) (*Answer, time.Duration, error) {
	if !l.valid {
		return &noSuchName, 0, nil
	}
	a, ttl := k.follow(l, t)
	if k.Missed = k.Missed || a == nil; k.Missed {
		return nil, 0, errUnknown
	}
	return a, ttl, nil
}
