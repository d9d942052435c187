package audit

import (
	"fmt"
	"net/netip"
	"strings"

	"postseal/domain"
	"postseal/resolver"
)

// CAA says which authorities may issue certificates (RFC 8659).
type CAA struct {
	Domain   string `json:"domain"` // the name with the records
	Critical bool   `json:"critical"`
	Tag      string `json:"tag"`
	Value    string `json:"value"`
}

// NameServer is one server of the zone.
type NameServer struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
}

// knownTags are the CAA properties of RFC 8659, 8657, 9495 and of the BIMI and contact
// specifications.
var knownTags = map[string]bool{"issue": true, "issuewild": true, "iodef": true, "issuemail": true, "issuevmc": true, "contactemail": true, "contactphone": true}

const maxCAA = 50

// caa finds the records that count: at the domain, or else above it (RFC 8659 §3).
func (r *run) caa() {
	for name := r.name; name != ""; name = name.Parent() {
		a, state := r.ask("caa", string(name), resolver.CAA, false)
		switch {
		case state == Failed:
			return
		case state != Found:
			continue
		}
		for _, rr := range a.Records[:min(len(a.Records), maxCAA)] {
			r.caaRecord(name, rr.Data)
		}
		return
	}
	r.find("caa.missing", Where{Name: string(r.name)}, "no CAA record: any authority may issue certificates for "+string(r.name), "")
}

func (r *run) caaRecord(name domain.Name, data []byte) {
	at := Where{Name: string(name)}
	c, err := ParseCAA(data)
	if err != nil {
		r.find("caa.syntax", at, string(name)+": "+err.Error(), "")
		return
	}
	c.Domain = string(name)
	r.report.Records.CAA = append(r.report.Records.CAA, c)
	if c.Critical && !knownTags[strings.ToLower(c.Tag)] {
		r.find("caa.unknown-critical", at, fmt.Sprintf("the property %s is critical and unknown", quote(c.Tag)), "")
	}
}

// ParseCAA reads the RDATA of a CAA record (RFC 8659 §4.1). For issue and similar tags it also
// returns the issuer (§4.2): if that is not a domain, no authority may issue.
func ParseCAA(data []byte) (CAA, error) {
	if len(data) < 2 {
		return CAA{}, fmt.Errorf("a CAA record of %d octets", len(data))
	}
	n := int(data[1])
	if n == 0 || 2+n > len(data) {
		return CAA{}, fmt.Errorf("a CAA record whose tag has %d octets", n)
	}
	c := CAA{Critical: data[0]&0x80 != 0, Tag: string(data[2 : 2+n]), Value: string(data[2+n:])}
	if !alnum(c.Tag) {
		return CAA{}, fmt.Errorf("a CAA record with the tag %s", quote(c.Tag))
	}
	for i := range len(c.Value) {
		if c.Value[i] < 0x20 || c.Value[i] > 0x7e {
			return CAA{}, fmt.Errorf("a CAA record with non-ASCII octets in its value")
		}
	}
	if tag := strings.ToLower(c.Tag); strings.HasPrefix(tag, "issue") && knownTags[tag] {
		issuer, _, _ := strings.Cut(c.Value, ";")
		if issuer = strings.Trim(issuer, " \t"); issuer != "" && !issuerName(issuer) {
			return CAA{}, fmt.Errorf("%s names the issuer %s, which is not a domain: no authority may issue a certificate", tag, quote(issuer))
		}
	}
	return c, nil
}

// issuerName reports whether s is an issuer-domain-name: labels of letters, digits and hyphens.
func issuerName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || !alnum(strings.ReplaceAll(label, "-", "")) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

const maxServers = 13

// ns checks the name servers of the domain's zone.
func (r *run) ns() {
	zone := r.name
	var a resolver.Answer
	for ; zone != ""; zone = zone.Parent() {
		var state State
		if a, state = r.ask("ns", string(zone), resolver.NS, false); state == Found || state == Failed {
			break
		}
	}
	if zone == "" || len(a.Records) == 0 || zone.Labels() < 2 && zone != r.name {
		return // the zone is not the owner's: a registry answers
	}
	r.zone = zone
	at := Where{Name: string(zone)}
	if len(a.Records) == 1 {
		r.find("ns.single", at, string(zone)+" has one name server, "+clip(a.Records[0].Target), "")
	}
	for _, rr := range a.Records[:min(len(a.Records), maxServers)] {
		r.dns.Prefetch(rr.Target, resolver.A)
		r.dns.Prefetch(rr.Target, resolver.AAAA)
	}
	networks := map[netip.Prefix]bool{}
	for _, rr := range a.Records[:min(len(a.Records), maxServers)] {
		s := r.server(rr.Target, at)
		for _, ip := range s.Addresses {
			networks[network(ip)] = true
		}
		r.report.Records.NS = append(r.report.Records.NS, s)
	}
	if len(networks) == 1 && len(a.Records) > 1 {
		r.find("ns.one-network", at, "all name servers of "+string(zone)+" are in one network", "")
	}
}

// network identifies the network of an address: hosts in one network probably fail together.
func network(ip netip.Addr) netip.Prefix {
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, _ := ip.Prefix(bits)
	return p
}

func (r *run) server(name string, at Where) NameServer {
	s := NameServer{Name: name, Addresses: []netip.Addr{}}
	known := true
	for _, t := range []resolver.Type{resolver.A, resolver.AAAA} {
		a, state := r.ask("ns", name, t, false)
		known = known && state != Failed
		if state != Failed && a.Aliased(name) {
			r.find("ns.cname", at, "name server "+clip(name)+" is an alias", "")
		}
		for _, rr := range a.Records[:min(len(a.Records), maxAddresses)] {
			s.Addresses = append(s.Addresses, rr.Addr)
		}
	}
	if known && len(s.Addresses) == 0 {
		r.find("ns.no-address", at, "name server "+clip(name)+" has no address", "")
	}
	return s
}
