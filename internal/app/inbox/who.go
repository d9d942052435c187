package inbox

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/report"
	"postseal/resolver"
	"postseal/store"
)

// Who is what tells whose a source is: the DNS about one of its addresses, and what its mail says of itself.
type Who struct {
	Address      string   `json:"address"`      // that the DNS was asked about
	Network      string   `json:"network"`      // of the address
	Name         string   `json:"name"`         // of the address, "" if there is none
	Confirmed    bool     `json:"confirmed"`    // Name has Address: else its owner may have made it up (RFC 8601 §3, iprev)
	Organization string   `json:"organization"` // of a confirmed Name
	Why          string   `json:"why"`          // why there is no Name
	SPF          string   `json:"spf"`          // what the SPF record of the domain says of the address, "" if it is not known
	SPFPath      []string `json:"spf_path"`     // the records from the domain to the mechanism that matched
	Mechanism    string   `json:"mechanism"`
	MailFrom     []Named  `json:"mail_from"` // what reports say of its MAIL FROM or HELO, the most messages first
	Signers      []Named  `json:"signers"`   // and of its signatures
}

// Named is a domain in the records of a source, with the result that reporters tell.
type Named struct {
	Domain   string `json:"domain"`
	Result   string `json:"result"`
	Messages int64  `json:"messages"`
}

// The bounds of Who: domains that are counted, and that are shown.
const (
	whoCounted = 200
	whoShown   = 5
)

// claims counts the domains that records name.
type claims struct{ mailFrom, signers map[Named]int64 }

func newClaims() *claims { return &claims{map[Named]int64{}, map[Named]int64{}} }

func (c *claims) add(r *report.Record) {
	count := func(to map[Named]int64, domain, result string) {
		key := Named{Domain: store.Domain(domain), Result: store.Clean(result)}
		if _, known := to[key]; domain != "" && (known || len(to) < whoCounted) {
			to[key] += r.Count
		}
	}
	for _, a := range r.AuthSPF {
		count(c.mailFrom, a.Domain, a.Result)
	}
	for _, a := range r.AuthDKIM {
		count(c.signers, a.Domain, a.Result)
	}
}

// most are the domains of the most messages.
func most(counts map[Named]int64) []Named {
	list := []Named{}
	for x, n := range counts {
		x.Messages = n
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Named) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Domain, b.Domain), strings.Compare(a.Result, b.Result))
	})
	return list[:min(len(list), whoShown)]
}

// AskWho asks the DNS whose the source is, until ctx ends: what was not answered stays unknown. A source that stands
// for many has no answer.
func (d *Detail) AskWho(ctx context.Context, r resolver.Resolver) {
	ip, err := netip.ParseAddr(d.Source.IP)
	if err != nil || d.Source.Folded > 0 {
		return
	}
	w := &Who{Address: ip.String(), SPFPath: []string{}, MailFrom: most(d.claims.mailFrom), Signers: most(d.claims.signers)}
	if w.Network, err = networkOf(ip); err != nil {
		w.Network = ""
	}
	if d.Who = w; r == nil {
		w.Why = "the DNS was not asked"
		return
	}
	w.askName(ctx, r, ip)
	if result := spfOf(ctx, r, d.Domain, ip); ctx.Err() == nil {
		w.SPF, w.Mechanism = string(result.Code), store.Clean(result.Mechanism)
		for _, name := range result.Path {
			w.SPFPath = append(w.SPFPath, store.Clean(name))
		}
		d.Source.InSPF = w.SPF
	}
}

// askName looks the name of an address up, and whether that has the address.
func (w *Who) askName(ctx context.Context, r resolver.Resolver, ip netip.Addr) {
	name, err := nameOf(ctx, r, ip)
	switch {
	case err != nil:
		w.Why = "the DNS did not answer: " + string(resolver.KindOf(err))
	case name == "":
		w.Why = "the address has no name"
	default:
		w.Name = store.Clean(name)
		if w.Confirmed = confirms(ctx, r, name, ip); w.Confirmed {
			w.Organization = organization(name)
		}
	}
}

// nameOf is the name of an address, "" if it has none.
func nameOf(ctx context.Context, r resolver.Resolver, ip netip.Addr) (string, error) {
	answer, err := r.Lookup(ctx, dnsdata.ReverseName(ip), resolver.PTR)
	if err != nil || len(answer.Records) == 0 {
		return "", err
	}
	return answer.Records[0].Target, nil
}

// confirms reports whether a name has an address (RFC 8601 §3, iprev): the owner of an address may give it any name.
func confirms(ctx context.Context, r resolver.Resolver, name string, ip netip.Addr) bool {
	t := resolver.A
	if !ip.Is4() {
		t = resolver.AAAA
	}
	answer, err := r.Lookup(ctx, name, t)
	return err == nil && slices.ContainsFunc(answer.Records, func(x resolver.RR) bool { return x.Addr == ip })
}
