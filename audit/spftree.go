package audit

import (
	"fmt"
	"net/netip"
	"strings"

	"postseal/internal/core/spfrecord"
	"postseal/internal/core/spftree"
	"postseal/spf"
)

// spfWalk walks the tree once and collects what the findings need.
type spfWalk struct {
	*run
	seen   map[string]bool // names of includes and redirects that were followed
	again  bool            // below a name that was already reached
	passes addressSet
}

// spfTree follows the record, and reports its cost and what it authorises.
func (r *run) spfTree() {
	checker := &spf.Checker{Resolver: r.dns, Now: r.Now}
	tree := spftree.Explore(r.ctx, r.dns, string(r.name))
	rec := &r.report.Records.SPF
	rec.Lookups, rec.VoidLookups, rec.Voids4, rec.Voids6 = tree.Lookups, tree.VoidLookups, tree.Voids4, tree.Voids6
	w := &spfWalk{run: r, seen: map[string]bool{}}
	rec.Tree = w.node(tree.Root, true, 0)
	rec.Addresses4, rec.Addresses6 = w.passes.count()
	if tree.Root.Code != "" {
		return
	}
	at := Where{Name: string(r.name), Record: tree.Root.Text}
	rec.Steps, rec.Proposed = r.cheaper(tree)
	r.spfLimits(tree, at)
	r.redundant(tree.Root)
	r.samples(checker, tree)
}

// spfLimits: RFC 7208 §4.6.4.
func (r *run) spfLimits(tree *spftree.Tree, at Where) {
	spent := fmt.Sprintf("a check may need %d DNS lookups of %d: %s", tree.Lookups, spf.DefaultLookups, spenders(tree.Root))
	switch {
	case tree.Lookups > spf.DefaultLookups:
		r.find("spf.lookup-limit", at, spent, r.fixSteps())
	case tree.Lookups >= near:
		r.find("spf.lookup-near", at, spent, "")
	}
	least := min(tree.Voids4, tree.Voids6)
	switch {
	case least > spf.DefaultVoidLookups:
		r.find("spf.void-limit", at, fmt.Sprintf("%d terms look up names that have no records; %d are allowed", least, spf.DefaultVoidLookups), "")
	case tree.VoidLookups > spf.DefaultVoidLookups:
		family := "IPv4"
		if tree.Voids6 > tree.Voids4 {
			family = "IPv6"
		}
		r.find("spf.void-family", at, fmt.Sprintf("for an %s client %d terms look up names without such an address; %d are allowed", family, tree.VoidLookups, spf.DefaultVoidLookups), "")
	}
}

// spenders lists the cost of each term of the record itself.
func spenders(n *spftree.Node) string {
	var parts []string
	for i := range n.Terms {
		t := &n.Terms[i]
		if t.Lookup == 0 {
			continue
		}
		cost := fmt.Sprintf("%s 1", clip(t.Text))
		if t.Child != nil && t.Child.Lookups > 0 {
			cost = fmt.Sprintf("%s 1 + %d", clip(t.Text), t.Child.Lookups)
		}
		parts = append(parts, cost)
	}
	return strings.Join(parts, ", ")
}

// node converts n to the form of the report. passes says whether a match below makes a client
// pass.
func (w *spfWalk) node(n *spftree.Node, passes bool, depth int) *SPFNode {
	out := &SPFNode{Domain: n.Domain, Result: string(n.Code), Problem: n.Problem, Record: n.Text, Lookups: n.Lookups, Terms: []SPFTerm{}}
	if n.Code == spf.TempError {
		w.unchecked("spf", n.Domain, n.Err, true)
	}
	if depth > 0 {
		w.included(n)
	}
	for i := range n.Terms {
		out.Terms = append(out.Terms, w.term(n, &n.Terms[i], passes, depth))
	}
	return out
}

// included checks the text of another organization's record, as far as it affects domains that
// include it.
func (w *spfWalk) included(n *spftree.Node) {
	if n.Record == nil {
		return
	}
	for i := range n.Record.Directives {
		d := &n.Record.Directives[i]
		at := Where{n.Domain, d.Offset, n.Text}
		switch {
		case d.Mechanism == spfrecord.All && d.Qualifier == spfrecord.Pass:
			w.find("spf.all-permissive", at, "in the record of "+n.Domain+": +all lets every host on the internet send", "")
		case d.Qualifier == spfrecord.Pass && tooWide(d.Prefix):
			w.find("spf.cidr-wide", at, "in the record of "+n.Domain+": "+d.Prefix.String()+" is wider than any provider needs", "")
		}
	}
}

// tooWide reports whether a range is wider than the blocks that the largest providers list.
func tooWide(p netip.Prefix) bool {
	return p.IsValid() && (p.Addr().Is4() && p.Bits() < 13 || p.Addr().Is6() && p.Bits() < 28)
}

func (w *spfWalk) term(n *spftree.Node, t *spftree.Term, passes bool, depth int) SPFTerm {
	out := SPFTerm{Text: t.Text, Offset: t.Offset, Lookup: t.Lookup, Name: t.Name, Addresses: t.Addresses, Void: t.Void(), Unused: t.Unused, Problem: t.Problem}
	if out.Addresses == nil {
		out.Addresses = []netip.Prefix{}
	}
	at := Where{n.Domain, t.Offset, n.Text}
	passes = passes && (t.Qualifier == spf.Pass || t.Mechanism == "redirect")
	if passes {
		w.passes.add(t.Addresses)
		if t.Mechanism == spfrecord.All && !t.Unused {
			w.passes.everything()
		}
	}
	switch {
	case t.Err != nil:
		w.unchecked("spf", t.Name, t.Err, true)
	case t.Problem != "":
		w.find("spf.mx-limit", at, t.Name+" has "+t.Problem, "")
	case t.Void():
		w.find("spf.dead-term", at, clip(t.Text)+" in the record of "+n.Domain+" resolves to nothing", "remove "+clip(t.Text))
		if passes {
			w.authorizesUnregistered(t, at)
		}
	}
	if depth == 0 {
		w.macroTarget(t, at)
	}
	if t.Child == nil {
		return out
	}
	out.Again = w.seen[strings.ToLower(t.Name)]
	w.seen[strings.ToLower(t.Name)] = true
	w.child(t, at, out.Again && !w.again)
	w.shared(t, at, depth)
	before := w.again
	w.again = w.again || out.Again
	out.Child = w.node(t.Child, passes, depth+1)
	w.again = before
	return out
}

// child checks the target of an include or a redirect.
func (w *spfWalk) child(t *spftree.Term, at Where, again bool) {
	switch c := t.Child; {
	case c.Code == spf.TempError:
	case c.Code == spf.PermError && c.Reason == spf.TooManyLookups:
		w.find("spf.loop", at, clip(t.Text)+" leads back to "+c.Domain, "")
	case c.Code != "":
		w.find("spf.include-broken", at, clip(t.Text)+" makes every check permerror: "+c.Problem, "")
		if t.Qualifier == spf.Pass || t.Mechanism == "redirect" {
			w.authorizesUnregistered(t, at)
		}
	case again:
		w.find("spf.duplicate", at, t.Name+" is reached a second time, and its lookups count again", "keep one of the terms that lead there")
	}
}

// shared: any customer of this service can send as this domain from the same addresses.
func (w *spfWalk) shared(t *spftree.Term, at Where, depth int) {
	if depth > 0 || t.Qualifier != spf.Pass {
		return
	}
	for _, p := range providers {
		if p.shared && p.sends(t.Name) {
			w.find("spf.shared-sender", at, "every customer of "+p.name+" sends from these addresses", "")
		}
	}
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
