package audit

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/spfrecord"
	"postseal/internal/core/spftree"
	"postseal/spf"
)

// reservedAddrs are addresses without an owner: reserved forever (RFC 1112 §4), and for
// documentation (RFC 3849). No record should pass them.
var reservedAddrs = []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("2001:db8:ffff:ffff::1")}

// samples runs check_host() itself for reserved addresses, and for the addresses of the
// options. This is the only way to see what macros expand to.
func (r *run) samples(c *spf.Checker, tree *spftree.Tree) {
	rec := &r.report.Records.SPF
	for _, ip := range append(reservedAddrs[:len(reservedAddrs):len(reservedAddrs)], r.options.Samples...) {
		s := r.sample(r.ctx, c, ip)
		rec.Samples = append(rec.Samples, s)
		if s.Result == string(spf.Pass) && (ip == reservedAddrs[0] || ip == reservedAddrs[1]) && !r.has("spf.all-permissive") {
			r.find("spf.stranger-passes", Where{Name: string(r.name), Record: tree.Root.Text},
				ip.String()+", a reserved address, passes by "+clip(s.Mechanism), "")
		}
	}
	r.deadForAll(tree)
}

// deadForAll finds a record with macros that returns permerror for every sample, including
// those of the caller.
func (r *run) deadForAll(tree *spftree.Tree) {
	rec := &r.report.Records.SPF
	if len(r.options.Samples) == 0 || r.has("spf.include-broken") || r.has("spf.lookup-limit") || !strings.Contains(tree.Root.Text, "%{") {
		return
	}
	for _, s := range rec.Samples {
		if s.Result != string(spf.PermError) {
			return
		}
	}
	r.find("spf.include-broken", Where{Name: string(r.name), Record: tree.Root.Text}, fmt.Sprintf("every check of %d sample clients ends in permerror", len(rec.Samples)), "")
}

func (r *run) sample(ctx context.Context, c *spf.Checker, ip netip.Addr) SPFSample {
	sender := "postmaster@" + string(r.name)
	res := c.Check(ctx, spf.Request{IP: ip, Helo: "mail." + string(r.name), Sender: sender})
	s := SPFSample{IP: ip, Sender: sender, Result: string(res.Code), Mechanism: res.Mechanism, Lookups: res.Lookups, Expanded: []string{}}
	for _, spend := range res.Spent {
		if strings.Contains(spend.Term, "%{") {
			s.Expanded = append(s.Expanded, spend.Name)
		}
	}
	return s
}

// redundant finds addresses of the record that also pass through other terms. If all addresses
// of a term that costs a lookup are covered by terms that cost none, it is the one to remove.
func (r *run) redundant(root *spftree.Node) {
	sets := make([]planned, len(root.Terms))
	for i := range root.Terms {
		sets[i].collect(&root.Terms[i])
	}
	superfluous := r.redundantLookups(root)
	for i := range root.Terms {
		t := &root.Terms[i]
		if t.Unused || t.Qualifier != spf.Pass || t.Mechanism != spfrecord.IP4 && t.Mechanism != spfrecord.IP6 {
			continue
		}
		for j := range root.Terms {
			o := &root.Terms[j]
			if i == j || o.Mechanism == spfrecord.All || o.Unused || o.Text == t.Text || superfluous[j] {
				continue
			}
			if q, ok := covering(append(sets[j].set.v4, sets[j].set.v6...), t.Addresses[0]); ok && (q != t.Addresses[0] || o.Lookup > 0 || j < i) {
				r.find("spf.redundant-range", Where{string(r.name), t.Offset, root.Text}, clip(t.Text)+" is within "+q.String()+" of "+clip(o.Text), "remove "+clip(t.Text))
				break
			}
		}
	}
}

// redundantLookups finds a and mx whose addresses are also listed by ip4 and ip6.
func (r *run) redundantLookups(root *spftree.Node) map[int]bool {
	var literal []netip.Prefix
	for i := range root.Terms {
		if t := &root.Terms[i]; !t.Unused && t.Qualifier == spf.Pass && (t.Mechanism == spfrecord.IP4 || t.Mechanism == spfrecord.IP6) {
			literal = append(literal, t.Addresses...)
		}
	}
	found := map[int]bool{}
	for i := range root.Terms {
		t := &root.Terms[i]
		if t.Unused || t.Err != nil || t.Qualifier != spf.Pass || t.Mechanism != spfrecord.A && t.Mechanism != spfrecord.MX || len(t.Addresses) == 0 {
			continue
		}
		if slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { _, ok := covering(literal, p); return !ok }) {
			continue
		}
		found[i] = true
		r.find("spf.redundant-lookup", Where{string(r.name), t.Offset, root.Text}, "ip4 and ip6 list every address of "+clip(t.Text), "remove "+clip(t.Text)+": it costs a lookup")
	}
	return found
}
