package audit

import (
	"context"
	"net/netip"
	"strings"

	"postseal/spf"
)

// strangers are addresses that belong to nobody: reserved for ever (RFC 1112 §4), and for
// documentation (RFC 3849). No record should let them pass.
var strangers = []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("2001:db8:ffff:ffff::1")}

// samples asks check_host() itself what it says to strangers, and to the addresses of the
// options. It is the only way to see what macros come to.
func (r *run) samples(c *spf.Checker, tree *spf.Tree) {
	rec := &r.report.Records.SPF
	for _, ip := range append(strangers[:len(strangers):len(strangers)], r.options.Samples...) {
		s := r.sample(r.ctx, c, ip)
		rec.Samples = append(rec.Samples, s)
		if s.Result == string(spf.Pass) && (ip == strangers[0] || ip == strangers[1]) && !r.has("spf.all-permissive") {
			r.find("spf.stranger-passes", Where{Name: string(r.name), Record: tree.Root.Text},
				ip.String()+", which is nobody's address, passes by "+clip(s.Mechanism), "")
		}
	}
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

// redundant finds addresses of the record that other terms let pass anyway.
func (r *run) redundant(root *spf.Node) {
	sets := make([]planned, len(root.Terms))
	for i := range root.Terms {
		sets[i].collect(&root.Terms[i])
	}
	for i := range root.Terms {
		t := &root.Terms[i]
		if t.Unused || t.Qualifier != spf.Pass || t.Mechanism != spf.IP4 && t.Mechanism != spf.IP6 {
			continue
		}
		for j := range root.Terms {
			o := &root.Terms[j]
			if i == j || o.Mechanism == spf.All || o.Unused || o.Text == t.Text {
				continue
			}
			if q, ok := covering(append(sets[j].set.v4, sets[j].set.v6...), t.Addresses[0]); ok && (q != t.Addresses[0] || o.Lookup > 0 || j < i) {
				r.find("spf.redundant-range", Where{string(r.name), t.Offset, root.Text}, clip(t.Text)+" lies within "+q.String()+" of "+clip(o.Text), "remove "+clip(t.Text))
				break
			}
		}
	}
}
