package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// Bounds of the lookups.
const (
	maxMX        = 20
	maxAddresses = 8 // of one host
	maxNames     = 10
)

// mx checks where mail for the domain goes (RFC 5321 §5).
func (r *run) mx() {
	a, state := r.ask("mx", string(r.name), resolver.MX, true)
	r.mxState = state
	hosts := slices.Clone(a.Records)
	slices.SortStableFunc(hosts, func(a, b resolver.RR) int {
		return cmp.Or(int(a.Preference)-int(b.Preference), cmp.Compare(a.Target, b.Target))
	})
	if len(hosts) > maxMX {
		hosts = hosts[:maxMX]
	}
	for _, h := range hosts {
		if h.Target != "" {
			r.dns.Prefetch(h.Target, resolver.A)
			r.dns.Prefetch(h.Target, resolver.AAAA)
		}
	}
	seen := map[string]bool{}
	for _, h := range hosts {
		if lower := strings.ToLower(h.Target); seen[lower] && h.Target != "" {
			r.find("mx.duplicate", Where{Name: string(r.name)}, "MX host "+clip(h.Target)+" is listed twice", "")
			continue
		}
		seen[strings.ToLower(h.Target)] = true
		r.report.Records.MX = append(r.report.Records.MX, r.mxHost(h))
	}
	if r.nullMX() && len(hosts) > 1 {
		r.find("mx.null-mixed", Where{Name: string(r.name)}, fmt.Sprintf("%s has a null MX and %d other MX records", r.name, len(hosts)-1), "")
	}
	if state == NoData {
		r.implicitMX()
	}
}

// nullMX reports whether one of the MX records says that the domain accepts no mail (RFC 7505 §3).
func (r *run) nullMX() bool {
	return slices.ContainsFunc(r.report.Records.MX, func(h MXHost) bool { return h.Name == "" })
}

// implicitMX: without MX, mail goes to the addresses of the domain (RFC 5321 §5.1).
func (r *run) implicitMX() {
	_, v4 := r.ask("mx", string(r.name), resolver.A, false)
	_, v6 := r.ask("mx", string(r.name), resolver.AAAA, false)
	r.implicit = v4 == Found || v6 == Found
}

func (r *run) mxHost(rr resolver.RR) MXHost {
	h := MXHost{Name: rr.Target, Preference: rr.Preference, Addresses: []netip.Addr{}}
	if h.Name == "" {
		return h
	}
	at := Where{Name: string(r.name)}
	if r.notHost(h.Name, at) {
		return h
	}
	known, aliased := true, false
	for _, t := range []resolver.Type{resolver.A, resolver.AAAA} {
		a, state := r.ask("mx", h.Name, t, false)
		known = known && state != Failed
		aliased = aliased || state != Failed && a.Aliased(h.Name)
		for _, rr := range a.Records[:min(len(a.Records), maxAddresses)] {
			h.Addresses = append(h.Addresses, rr.Addr)
		}
	}
	if aliased {
		r.find("mx.cname", at, "MX host "+clip(h.Name)+" is an alias", "")
	}
	if len(h.Addresses) == 0 {
		if known {
			r.find("mx.no-address", at, "MX host "+clip(h.Name)+" has no address", "")
		}
		return h
	}
	for _, ip := range h.Addresses {
		if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
			r.find("mx.private", at, "MX host "+clip(h.Name)+" has the address "+ip.String(), "")
		}
	}
	h.FCrDNS = r.fcrdns(&h, at)
	return h
}

// verification lists names that a service had its customers publish as MX to prove that they
// own the domain. No mail is sent to them.
const verification = ".msv1.invalid"

// notHost finds an MX whose target is not a host name.
func (r *run) notHost(name string, at Where) bool {
	relative := strings.TrimSuffix(name, "."+string(r.name)) // a zone editor appended the domain
	if _, err := netip.ParseAddr(relative); err == nil {
		r.find("mx.address", at, "MX "+clip(name)+" is an address, not a name", "")
		return true
	}
	switch {
	case relative == "0":
		r.find("mx.null-dot", at, "MX "+clip(name)+" names a host 0: a null MX is written 0 . (preference 0, then a dot)", "")
		return true
	case strings.HasSuffix(strings.ToLower(name), verification):
		r.find("mx.verification", at, "MX "+clip(name)+" proves to Microsoft 365 that you own the domain", "")
		return true
	}
	return false
}

// fcrdns checks that each address has a name that resolves back to it (RFC 8601 §3).
func (r *run) fcrdns(h *MXHost, at Where) string {
	for _, ip := range h.Addresses {
		r.dns.Prefetch(dnsdata.ReverseName(ip), resolver.PTR)
	}
	result := "pass"
	for _, ip := range h.Addresses {
		switch back, known := r.leadsBack(ip); {
		case !known && result == "pass":
			result = "unknown"
		case !back && known:
			result = "fail"
			r.find("mx.fcrdns", at, fmt.Sprintf("%s of %s has no name that resolves back to it", ip, clip(h.Name)), "")
		}
	}
	return result
}

func (r *run) leadsBack(ip netip.Addr) (back, known bool) {
	a, state := r.ask("mx", dnsdata.ReverseName(ip), resolver.PTR, false)
	if state == Failed {
		return false, false
	}
	t := resolver.A
	if ip.Is6() {
		t = resolver.AAAA
	}
	known = true
	for _, rr := range a.Records[:min(len(a.Records), maxNames)] {
		addresses, state := r.ask("mx", rr.Target, t, false)
		if state == Failed {
			known = false
			continue
		}
		if slices.ContainsFunc(addresses.Records, func(rr resolver.RR) bool { return rr.Addr == ip }) {
			return true, true
		}
	}
	return false, known
}
