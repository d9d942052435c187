package differential

import (
	"context"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// Zone is the DNS of one case. Every driver has a stub of a few lines that answers from
// it, so all verifiers see the same.
type Zone struct {
	RR    map[string]map[string][]string // name, type, records; texts are octets
	Fault map[string]string              // "name TYPE": SERVFAIL or TIMEOUT
}

// NewZone returns an empty zone.
func NewZone() *Zone {
	return &Zone{RR: map[string]map[string][]string{}, Fault: map[string]string{}}
}

// Add adds a record.
func (z *Zone) Add(name, rrtype, record string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if z.RR[name] == nil {
		z.RR[name] = map[string][]string{}
	}
	z.RR[name][rrtype] = append(z.RR[name][rrtype], record)
}

// exists lists the names with records and the empty non-terminals above them.
func (z *Zone) exists() map[string]bool {
	names := map[string]bool{}
	for name := range z.RR {
		for n := name; n != ""; _, n, _ = strings.Cut(n, ".") {
			names[n] = true
		}
	}
	return names
}

// MarshalJSON writes the form that the drivers read: an octet is the code point of its
// number.
func (z *Zone) MarshalJSON() ([]byte, error) {
	rr := map[string]map[string][]string{}
	for name, sets := range z.RR {
		rr[name] = map[string][]string{}
		for t, records := range sets {
			for _, r := range records {
				rr[name][t] = append(rr[name][t], latin1(r))
			}
		}
	}
	return json.Marshal(map[string]any{"rr": rr, "exists": z.exists(), "fault": z.Fault})
}

func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// Lookup implements resolver.Resolver.
func (z *Zone) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if !dnsdata.ValidName(name) {
		return resolver.Answer{NXDomain: true}, nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 10 {
		if fault := z.Fault[name+" "+t.String()]; fault != "" {
			kind := resolver.ServFail
			if fault == "TIMEOUT" {
				kind = resolver.Timeout
			}
			return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: kind}
		}
		sets := z.RR[name]
		if alias := sets["CNAME"]; len(alias) > 0 {
			name = strings.ToLower(strings.TrimSuffix(alias[0], "."))
			continue
		}
		a := resolver.Answer{Canonical: name}
		for _, r := range sets[t.String()] {
			a.Records = append(a.Records, convert(t, r))
		}
		a.NXDomain = len(a.Records) == 0 && !z.exists()[name]
		return a, nil
	}
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.ServFail}
}

func convert(t resolver.Type, record string) resolver.RR {
	switch t {
	case resolver.TXT:
		return resolver.RR{Text: record}
	case resolver.A, resolver.AAAA:
		return resolver.RR{Addr: netip.MustParseAddr(record)}
	case resolver.MX:
		preference, host, _ := strings.Cut(record, " ")
		n, _ := strconv.ParseUint(preference, 10, 16)
		return resolver.RR{Preference: uint16(n), Target: strings.TrimSuffix(host, ".")}
	}
	return resolver.RR{Target: strings.TrimSuffix(record, ".")}
}
