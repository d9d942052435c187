package resolver

import (
	"context"
	"sync/atomic"
)

// Memo keeps what a consumer made of an answer, as long as the answer itself is kept:
// records and keys are parsed once per TTL. It holds one value; a consumer of another
// type replaces it.
type Memo struct{ value atomic.Value }

type memoized struct{ v any }

// Parsed returns what parse makes of a, from a's Memo when it is there. parse must
// depend on a.Records alone, and its result must be safe to share.
func Parsed[T any](a Answer, parse func(Answer) *T) *T {
	if a.Memo == nil {
		return parse(a)
	}
	if m, ok := a.Memo.value.Load().(memoized); ok {
		if v, ok := m.v.(*T); ok {
			return v
		}
	}
	v := parse(a)
	a.Memo.value.Store(memoized{v})
	return v
}

// Known is a view of a Peeker that waits for nothing: a question whose answer is not
// there fails, and Missed tells. It serves one evaluation, of one goroutine.
type Known struct {
	Peeker Peeker
	Missed bool
}

var errUnknown = &Error{Kind: Canceled}

// Lookup implements Resolver.
func (k *Known) Lookup(_ context.Context, name string, t Type) (Answer, error) {
	if !k.Missed {
		if a, ok := k.Peeker.Peek(name, t); ok {
			return a, nil
		}
		k.Missed = true
	}
	return Answer{}, errUnknown
}
