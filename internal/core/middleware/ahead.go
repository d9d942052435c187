package middleware

import "postseal/resolver"

// Prefetcher is a Resolver that can start a query before its answer is needed. Prefetch never
// blocks.
type Prefetcher interface {
	Prefetch(name string, t resolver.Type)
}

// Prefetch tells r of a question if it wants to know.
func Prefetch(r resolver.Resolver, name string, t resolver.Type) {
	if p, ok := r.(Prefetcher); ok {
		p.Prefetch(name, t)
	}
}

// Peeker is a Resolver that may know an answer without waiting. ok is false when it
// does not.
type Peeker interface {
	Peek(name string, t resolver.Type) (a resolver.Answer, ok bool)
}
