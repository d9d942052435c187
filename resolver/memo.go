package resolver

import "sync/atomic"

// Memo keeps what a consumer made of an answer, as long as the answer itself is kept:
// records and keys are parsed once per TTL. It holds one value; a consumer of another
// type replaces it.
type Memo struct{ value atomic.Value }

type memoized struct{ v any }

// Parsed returns what parse makes of a, from a's Memo when it is there. parse must
// depend on a.Records alone, and its result must be safe to share.
func Parsed[T any](a Answer, parse func(Answer) *T) *T {
	if a.Memo != nil {
		m, _ := a.Memo.value.Load().(memoized)
		if v, ok := m.v.(*T); ok {
			return v
		}
	}
	v := parse(a)
	if a.Memo != nil {
		a.Memo.value.Store(memoized{v})
	}
	return v
}
