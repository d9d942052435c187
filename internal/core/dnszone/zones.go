package dnszone

import (
	"strings"

	"github.com/miekg/dns"

	"postseal/domain"
	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// dname is the CNAME that a DNAME above name makes of it (RFC 6672 §3.3), nil without one.
func (z *Zone) dname(name string) *rrset {
	for prefix, parent := "", name; parent != ""; {
		label, above, _ := strings.Cut(parent, ".")
		prefix, parent = prefix+label+".", above
		set := z.names[parent][resolver.Type(dns.TypeDNAME)]
		if set == nil {
			continue
		}
		rr := set.raw[0].(*dns.DNAME)
		target := prefix + dnswire.Name(rr.Target)
		raw := &dns.CNAME{Hdr: dns.RR_Header{Name: dnswire.Escape(name), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: rr.Hdr.Ttl}, Target: dnswire.Escape(target)}
		return &rrset{records: []resolver.RR{{Target: strings.TrimSuffix(target, ".")}}, ttl: set.ttl, raw: []dns.RR{raw}}
	}
	return nil
}

// Holds reports whether the text answers for name: whether it holds records of it, or name is
// in one of its zones. Those are the names with an SOA record; without any, the registrable
// domains of all names that have records or faults.
func (z *Zone) Holds(name string) bool {
	name = dnswire.Lower(strings.TrimSuffix(name, "."))
	if z.names[name] != nil || z.fault(name, resolver.TXT) != "" {
		return true
	}
	for _, apex := range z.apexes() {
		if name == apex || strings.HasSuffix(name, "."+apex) {
			return true
		}
	}
	return false
}

func registrableOf(name string) string {
	d, err := domain.Parse(strings.TrimPrefix(name, "*."))
	if err != nil {
		return ""
	}
	return string(d.Registrable())
}

func (z *Zone) apexes() []string {
	z.apexOnce.Do(func() {
		registrable := map[string]bool{}
		for name, sets := range z.names {
			if sets[resolver.SOA] != nil {
				z.zones = append(z.zones, name)
			}
			registrable[registrableOf(name)] = true
		}
		for key := range z.faults {
			name, _, _ := strings.Cut(key, " ")
			registrable[registrableOf(name)] = true
		}
		delete(registrable, "")
		if len(z.zones) == 0 {
			for name := range registrable {
				z.zones = append(z.zones, name)
			}
		}
	})
	return z.zones
}
