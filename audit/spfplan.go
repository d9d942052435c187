package audit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/spfrecord"
	"postseal/internal/core/spftree"
	"postseal/spf"
)

// plan is a record being changed to need fewer lookups.
type plan struct {
	root    *spftree.Node
	entries []planned
	lookups int
	steps   []SPFStep
}

// planned is one term of the record.
type planned struct {
	term   *spftree.Term
	cost   int
	text   string // the current text; "" once dropped
	set    addressSet
	static bool // set contains everything that the term can ever match
}

// Bounds on the addresses that are written out.
const (
	maxHostAddresses = 4
	maxFlat          = 8
)

// cheaper computes changes to the record so that it needs no more lookups than allowed,
// starting with terms that have no effect. It returns nothing if the record is within the
// limits, and no record if these changes are not enough.
func (r *run) cheaper(tree *spftree.Tree) ([]SPFStep, string) {
	p := newPlan(tree)
	if p.within() && tree.VoidLookups <= spf.DefaultVoidLookups {
		return []SPFStep{}, ""
	}
	p.each(true, p.dropDead)
	p.each(true, p.dropRepeated)
	p.each(false, p.dropPTR)
	p.each(false, p.listHost)
	p.each(false, p.flatten)
	if len(p.steps) == 0 {
		return []SPFStep{}, ""
	}
	if !p.within() {
		return p.steps, ""
	}
	return p.steps, p.record()
}

func newPlan(tree *spftree.Tree) *plan {
	p := &plan{root: tree.Root, lookups: tree.Lookups}
	for i := range tree.Root.Terms {
		t := &tree.Root.Terms[i]
		if t.Unused {
			continue
		}
		e := planned{term: t, text: t.Text, static: true}
		if t.Lookup > 0 {
			e.cost = 1
		}
		if t.Child != nil {
			e.cost += t.Child.Lookups
		}
		e.collect(t)
		p.entries = append(p.entries, e)
	}
	return p
}

// collect gathers the addresses that t passes.
func (e *planned) collect(t *spftree.Term) {
	follows := t.Mechanism == spfrecord.Include || t.Mechanism == "redirect"
	switch {
	case t.Err != nil, t.Problem != "",
		t.Mechanism == spfrecord.PTR, t.Mechanism == spfrecord.Exists,
		t.Lookup > 0 && t.Name == "",
		follows && (t.Child == nil || t.Child.Code != ""):
		e.static = false
	}
	if t.Qualifier != spf.Pass && t.Mechanism != "redirect" {
		if t.Mechanism != spfrecord.All && t.Mechanism != spfrecord.IP4 && t.Mechanism != spfrecord.IP6 {
			e.static = false // it excludes addresses from later terms
		}
		return
	}
	e.set.add(t.Addresses)
	if t.Mechanism == spfrecord.All {
		e.set.everything()
	}
	if t.Child != nil {
		for i := range t.Child.Terms {
			if !t.Child.Terms[i].Unused {
				e.collect(&t.Child.Terms[i])
			}
		}
	}
}

func (p *plan) within() bool { return p.lookups <= spf.DefaultLookups }

// each tries change on every term, the most expensive first, until the record needs few enough
// lookups; with always, it tries every term. change returns the replacement and the reason, or
// "".
func (p *plan) each(always bool, change func(e *planned) (text, do, why string)) {
	order := make([]*planned, 0, len(p.entries))
	for i := range p.entries {
		order = append(order, &p.entries[i])
	}
	slices.SortStableFunc(order, func(a, b *planned) int { return b.cost - a.cost })
	for _, e := range order {
		if e.text == "" || e.cost == 0 || p.within() && !always {
			continue
		}
		text, do, why := change(e)
		if do == "" {
			continue
		}
		p.lookups -= e.cost
		p.steps = append(p.steps, SPFStep{Term: e.term.Text, Do: do, Why: why, Lookups: p.lookups})
		e.text, e.cost = text, 0
	}
}

func (p *plan) dropDead(e *planned) (text, do, why string) {
	if e.term.Void() {
		return "", "drop", "it resolves to nothing"
	}
	return "", "", ""
}

// dropRepeated drops a term whose addresses all pass through other terms.
func (p *plan) dropRepeated(e *planned) (text, do, why string) {
	if !e.static || e.term.Qualifier != spf.Pass || e.term.Child == nil && len(e.term.Addresses) == 0 {
		return "", "", ""
	}
	var others addressSet
	for i := range p.entries {
		if o := &p.entries[i]; o != e && o.text != "" {
			others.add(o.set.v4)
			others.add(o.set.v6)
		}
	}
	before4, before6 := others.count()
	others.add(e.set.v4)
	others.add(e.set.v6)
	if after4, after6 := others.count(); before4 != after4 || before6 != after6 {
		return "", "", ""
	}
	return "", "drop", "other terms already pass all of its addresses"
}

func (p *plan) dropPTR(e *planned) (text, do, why string) {
	if e.term.Mechanism == spfrecord.PTR {
		return "", "drop", "ptr should not be published"
	}
	return "", "", ""
}

// listHost replaces the name of a host with its addresses.
func (p *plan) listHost(e *planned) (text, do, why string) {
	if !e.static || e.term.Child != nil || len(e.term.Addresses) == 0 || len(e.term.Addresses) > maxHostAddresses {
		return "", "", ""
	}
	text = addressTerms(e.term, e.term.Addresses)
	return text, text, "the same addresses without a lookup; update them when the host moves"
}

// flatten replaces a small include with its addresses.
func (p *plan) flatten(e *planned) (text, do, why string) {
	if !e.static || e.term.Mechanism != spfrecord.Include || len(e.set.v4)+len(e.set.v6) > maxFlat || len(e.set.v4)+len(e.set.v6) == 0 {
		return "", "", ""
	}
	text = addressTerms(e.term, append(disjoint(e.set.v4), disjoint(e.set.v6)...))
	return text, text, "the current addresses; ask its owner to tell you of changes"
}

// addressTerms writes prefixes as terms with the qualifier of t.
func addressTerms(t *spftree.Term, list []netip.Prefix) string {
	qualifier := ""
	if c := t.Text[0]; c == '-' || c == '~' || c == '?' {
		qualifier = string(c)
	}
	var b strings.Builder
	for i, prefix := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		name, text := "ip4:", prefix.String()
		if prefix.Addr().Is6() {
			name = "ip6:"
		}
		if prefix.IsSingleIP() {
			text = prefix.Addr().String()
		}
		b.WriteString(qualifier + name + text)
	}
	return b.String()
}

// record returns the text after all steps.
func (p *plan) record() string {
	words := []string{"v=spf1"}
	for i := range p.entries {
		if p.entries[i].text != "" {
			words = append(words, p.entries[i].text)
		}
	}
	rec := p.root.Record
	if rec.Exp != nil {
		words = append(words, rec.Exp.Text)
	}
	for i := range rec.Unknown {
		words = append(words, rec.Unknown[i].Text)
	}
	return strings.Join(words, " ")
}

// fixSteps summarizes the steps in one line.
func (r *run) fixSteps() string {
	rec := &r.report.Records.SPF
	if len(rec.Steps) == 0 {
		return ""
	}
	parts := make([]string, 0, len(rec.Steps))
	for _, s := range rec.Steps {
		if s.Do == "drop" {
			parts = append(parts, fmt.Sprintf("drop %s (%s): %d/10", clip(s.Term), s.Why, s.Lookups))
		} else {
			parts = append(parts, fmt.Sprintf("replace %s with %s (%s): %d/10", clip(s.Term), clip(s.Do), s.Why, s.Lookups))
		}
	}
	text := strings.Join(parts, "; ")
	if rec.Proposed != "" {
		return text
	}
	return text + ". This is not enough: move some senders to a subdomain with its own record"
}
