package cli

import (
	"context"

	"postseal"
	"postseal/internal/app/secondopinion"
	"postseal/resolver"
)

// opinions consults two other libraries if f asks for it.
func (f *verifyFlags) opinions(ctx context.Context, dns resolver.Resolver, r *postseal.Report, kept *kept) []secondopinion.Opinion {
	if !f.opinion {
		return nil
	}
	msg := kept.message(maxOpinion)
	if r.Limit != "" {
		msg = nil
	}
	return append([]secondopinion.Opinion{}, secondopinion.Compare(ctx, dns, r, msg)...)
}
