// Package policy is a local policy: it decides as postseal does, but takes no mail in the name
// of the boss from outside.
package policy

import (
	"slices"

	"postseal"
	"postseal/dmarc"
)

// Boss wraps the default policy.
type Boss struct {
	postseal.EnforcePolicy
	Addresses []string // of the boss
}

// Decide implements postseal.Policy.
func (p *Boss) Decide(r *postseal.Report) postseal.Decision {
	d := p.Published(r)
	ours := slices.ContainsFunc(r.Author.Addresses, func(a string) bool { return slices.Contains(p.Addresses, a) })
	if ours && r.DMARC.Code == dmarc.Fail && !slices.Contains(postseal.IndirectFlow(r), postseal.SignalListID) {
		d = postseal.Decision{Action: postseal.Reject, Reason: postseal.LocalRule}
	}
	return p.Enforce(r, d)
}
