package postseal

import (
	"context"
	"net/netip"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/middleware"
	"postseal/resolver"
)

// maxReverseNames bounds the names of one address that are looked at (RFC 8601 §3).
const maxReverseNames = 10

// checkIPRev looks up the names of ip and whether one of them resolves back to it (RFC
// 8601 §3). A reverse zone without names is permerror (§2.7.3).
func checkIPRev(ctx context.Context, r resolver.Resolver, ip netip.Addr) IPRev {
	answer, err := r.Lookup(ctx, dnsdata.ReverseName(ip), resolver.PTR)
	if err != nil {
		return IPRev{Code: unknownReverse(err)}
	}
	names := answer.Records[:min(len(answer.Records), maxReverseNames)]
	if len(names) == 0 {
		return IPRev{Code: IPRevPermError}
	}
	t := resolver.A
	if ip.Is6() {
		t = resolver.AAAA
	}
	for _, rr := range names {
		middleware.Prefetch(r, rr.Target, t)
	}
	result := IPRev{Code: IPRevFail, Name: names[0].Target}
	for _, rr := range names {
		addresses, err := r.Lookup(ctx, rr.Target, t)
		if err != nil {
			result.Code = unknownReverse(err)
			continue
		}
		for _, a := range addresses.Records {
			if a.Addr.Unmap() == ip {
				return IPRev{Code: IPRevPass, Name: rr.Target}
			}
		}
	}
	return result
}

// unknownReverse is temperror, unless the budget was spent: that is the client's doing.
func unknownReverse(err error) IPRevCode {
	if resolver.KindOf(err) == resolver.OverBudget {
		return IPRevPermError
	}
	return IPRevTempError
}
