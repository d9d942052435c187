package audit

import (
	"testing"

	"postseal/resolver/dnstest"
)

// TestZeroAuditor: without a Resolver no lookup succeeds, so there is no grade, and no panic.
func TestZeroAuditor(t *testing.T) {
	for _, a := range []*Auditor{nil, {}, {Resolver: (*dnstest.Zone)(nil)}} {
		r := a.Audit(t.Context(), "acme.test", Options{})
		if asks := a != nil && a.Resolver != nil; !asks && (r.Grade != "" || len(r.Unchecked) == 0) {
			t.Errorf("grade %q with %d failed lookups", r.Grade, len(r.Unchecked))
		}
		a.Audit(t.Context(), "", Options{Authoritative: true, Probe: true, Bulk: true})
	}
}
