package report

import (
	"context"
	"fmt"
	"strings"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/resolver"
)

// Consent says whether a destination may get reports.
type Consent string

// The values of Consent.
const (
	Allowed Consent = "allowed"
	Refused Consent = "refused"
	Unknown Consent = "unknown" // the DNS did not answer: ask again later
)

// Destination is an address from the rua or ruf tag of a policy, and whether reports may go there.
type Destination struct {
	URI     string // as published
	Address string // where the report goes: that of URI, or the one by which its host overrides it
	Consent Consent
	Why     string // for people, when it is not Allowed
}

// maxDestinations is the number of destinations of a policy that are served, in its order
// (RFC 9990 §3.5: "up to the Receiver's limits").
const maxDestinations = 5

// Destinations says for each mailto URI of uris, the rua tag of the policy at policyDomain, or the
// ruf tag for reports of kind Failure, whether reports may go there. A host of another
// organization must agree to it in the DNS, and may name another address at the same host (RFC
// 9990 §4, RFC 9991 §5). Other URI schemes are omitted, since RFC 9990 defines none.
func Destinations(ctx context.Context, dns resolver.Resolver, kind Kind, policyDomain string, uris []string) []Destination {
	c := consent{ctx: ctx, dns: dns, kind: kind, policyDomain: policyDomain}
	list := []Destination{}
	for _, uri := range uris {
		address, host, ok := mailto(uri)
		if !ok || len(list) == maxDestinations {
			continue
		}
		d := Destination{URI: uri, Address: address}
		c.judge(&d, host)
		list = append(list, d)
	}
	return list
}

// mailto splits a URI into its address and the domain of that.
func mailto(uri string) (address string, host domain.Name, ok bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, "mailto") {
		return "", "", false
	}
	address, _, _ = strings.Cut(rest, "?")
	at := strings.LastIndexByte(address, '@')
	if at < 1 || !plainAddress(address) {
		return "", "", false
	}
	host, err := domain.Parse(address[at+1:])
	return address, host, err == nil
}

// plainAddress reports whether an address can stand in an SMTP command and a header field
// without quoting.
func plainAddress(s string) bool {
	if len(s) > 254 || strings.Count(s, "@") != 1 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>()[],;:\\\"%", c) >= 0 {
			return false
		}
	}
	return true
}

// consent is one call of Destinations.
type consent struct {
	ctx          context.Context
	dns          resolver.Resolver
	kind         Kind
	policyDomain string

	org     string // of policyDomain, once it is known
	unknown bool   // it could not be found
}

func (c *consent) judge(d *Destination, host domain.Name) {
	own, ok := c.organization()
	theirs, okTheirs := organizationOf(c.ctx, c.dns, host)
	switch {
	case !ok || !okTheirs:
		d.Consent, d.Why = Unknown, "the organization of the destination cannot be determined now"
	case own == theirs:
		d.Consent = Allowed
	default:
		c.ask(d, host)
	}
}

// organization is that of the policy domain.
func (c *consent) organization() (string, bool) {
	if c.org == "" && !c.unknown {
		name, err := domain.Parse(c.policyDomain)
		var ok bool
		if err == nil {
			c.org, ok = organizationOf(c.ctx, c.dns, name)
		}
		c.unknown = !ok
	}
	return c.org, !c.unknown
}

func organizationOf(ctx context.Context, dns resolver.Resolver, name domain.Name) (string, bool) {
	org := (&dmarc.Evaluator{Resolver: dns}).Discover(ctx, name).OrgDomain
	return org, org != ""
}

// ask looks for the record by which host agrees.
func (c *consent) ask(d *Destination, host domain.Name) {
	name := c.policyDomain + "._report._dmarc." + string(host)
	if len(name) > 253 {
		d.Consent, d.Why = Refused, "the name of the record by which the destination would agree is longer than 253 characters"
		return
	}
	answer, err := c.dns.Lookup(c.ctx, name, resolver.TXT)
	if err != nil {
		d.Consent, d.Why = Unknown, fmt.Sprintf("%s cannot be looked up now", name)
		return
	}
	var records []*dmarcrecord.Record
	for _, rr := range answer.Records {
		if r, ok := dmarcrecord.Parse(rr.Text); ok {
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		d.Consent, d.Why = Refused, fmt.Sprintf("%s does not agree to reports about %s: no v=DMARC1 record at %s", host, c.policyDomain, name)
		return
	}
	d.Consent = Allowed
	c.override(d, host, records)
}

// override takes the address that the destination asks for instead. One at another host
// means that neither is used (RFC 9990 §4).
func (c *consent) override(d *Destination, host domain.Name, records []*dmarcrecord.Record) {
	for _, r := range records {
		uris := r.RUA
		if c.kind == Failure {
			uris = r.RUF
		}
		for _, uri := range uris {
			address, other, ok := mailto(uri)
			switch {
			case !ok:
			case other != host:
				d.Consent, d.Why = Refused, fmt.Sprintf("%s names an address at another host, %s", host, other)
				return
			default:
				d.Address = address
				return
			}
		}
	}
}
