package inbox

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/dmarcrecord"
	"postseal/resolver"
)

// Published is the DMARC record of a domain, and the one to publish next.
type Published struct {
	Name   string `json:"name"`   // where it is, such as _dmarc.acme.test
	Record string `json:"record"` // what the DNS has, "" if it is not known or there is none
	Why    string `json:"why"`    // why there is no Record or no Next
	Policy string `json:"policy"` // that Next has, "" without Next
	Next   string `json:"next"`   // the record to publish next: Record with the next stricter policy
	Ready  bool   `json:"ready"`  // Next can be published now
}

// AskRecord looks up the record of the domain, and says what to publish next.
func (s *Summary) AskRecord(ctx context.Context, r resolver.Resolver) {
	p := &Published{Name: "_dmarc." + s.Domain}
	s.Published = p
	if r == nil {
		p.Why = "the DNS was not asked"
		return
	}
	answer, err := r.Lookup(ctx, p.Name, resolver.TXT)
	if err != nil {
		p.Why = "the DNS did not answer: " + string(resolver.KindOf(err))
		return
	}
	var records []string
	for _, rr := range answer.Records {
		if _, ok := dmarcrecord.Parse(rr.Text); ok {
			records = append(records, rr.Text)
		}
	}
	switch len(records) {
	case 1:
		p.Record = records[0]
		s.next(p)
		p.Record = printable(p.Record)
	case 0:
		p.Why = "the domain has no DMARC record of its own"
	default:
		p.Why = "the domain has several DMARC records: receivers use none of them"
	}
}

// next sets the record to publish next. What is shown can be pasted, so a record with other than printable ASCII
// characters gives none.
func (s *Summary) next(p *Published) {
	record, ok := dmarcrecord.Parse(p.Record)
	now := record.Own()
	switch {
	case !ok || printable(p.Record) != p.Record:
		p.Why = "the record is too long, or has characters that a DMARC record cannot have: see its audit"
		return
	case record.Test:
		p.Why = "t=y asks receivers to apply a milder policy: remove it first"
		return
	}
	for _, r := range s.Readiness {
		if !stricter(r.Policy, string(now)) {
			continue
		}
		text, ok := withPolicy(p.Record, r.Policy)
		if !ok {
			p.Why = "the record has no policy that could be replaced: see its audit"
			return
		}
		p.Policy, p.Next, p.Ready = r.Policy, text, r.Ready
		return
	}
}

// maxRecord bounds a record that is shown, in octets.
const maxRecord = 4096

// printable returns text that is safe to show and to paste.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '\uFFFD'
		}
		return c
	}, text[:min(len(text), maxRecord)])
}

// withPolicy returns a record with another value of p, or with one if it has none. ok is false if it does not say that
// policy then: it has several.
func withPolicy(text, policy string) (string, bool) {
	parts := strings.Split(text, ";")
	found := 0
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if !ok || strings.ToLower(strings.TrimSpace(name)) != "p" {
			continue
		}
		found++
		kept := strings.TrimRight(value, " \t")
		lead := kept[:len(kept)-len(strings.TrimLeft(kept, " \t"))]
		parts[i] = name + "=" + lead + policy + value[len(kept):]
	}
	if found == 0 {
		parts = slices.Insert(parts, 1, " p="+policy)
	}
	next := strings.Join(parts, ";")
	r, ok := dmarcrecord.Parse(next)
	return next, ok && found <= 1 && string(r.Own()) == policy
}

// AskSPF sets what the SPF record of the domain says of the address of each source, until ctx ends: the others stay
// unknown.
func (s *Summary) AskSPF(ctx context.Context, r resolver.Resolver, sources []SourceSum) {
	if r == nil {
		return
	}
	for i := range sources {
		ip, err := netip.ParseAddr(sources[i].IP)
		if err != nil {
			continue
		}
		result := spfOf(ctx, r, s.Domain, ip)
		if ctx.Err() != nil {
			return
		}
		sources[i].InSPF = string(result.Code)
	}
}
