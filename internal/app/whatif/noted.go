package whatif

import (
	"context"
	"sync/atomic"

	"postseal/resolver"
)

// noted is a resolver that notes whether an answer was missing.
type noted struct {
	resolver.Resolver
	missing atomic.Bool
}

// Lookup implements resolver.Resolver.
func (n *noted) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a, err := n.Resolver.Lookup(ctx, name, t)
	if err != nil && resolver.KindOf(err) == resolver.Missing {
		n.missing.Store(true)
	}
	return a, err
}
