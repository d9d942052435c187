package postseal

import (
	"context"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/resolver"
)

// askNoMail looks whether the author domain takes mail, as that of an honest author does. The
// queries are made only if the answer may decide: the policy is reject, the mode is guarded, and
// nothing else speaks for or against a forgery. What cannot be looked up corroborates nothing.
func (t *Transaction) askNoMail(r *Report) {
	fails := r.DMARC.Code == dmarc.Fail && r.DMARC.Policy == dmarc.PolicyReject
	if !fails || t.v.config.Enforce != Guarded || len(Corroboration(r, t.v.config.Protected)) > 0 || len(IndirectFlow(r)) > 0 {
		return
	}
	r.NoMail = takesNoMail(t.work.ctx, t.queries, domain.Name(r.DMARC.AuthorDomain))
}

func takesNoMail(ctx context.Context, dns resolver.Resolver, author domain.Name) Signal {
	mx, err := dns.Lookup(ctx, string(author), resolver.MX)
	switch {
	case err != nil:
		return ""
	case len(mx.Records) == 1 && mx.Records[0].Target == "":
		return SignalNullMX
	case len(mx.Records) > 0:
		return ""
	}
	for _, family := range [...]resolver.Type{resolver.A, resolver.AAAA} {
		if a, err := dns.Lookup(ctx, string(author), family); err != nil || len(a.Records) > 0 {
			return ""
		}
	}
	return SignalNoMailHost
}
