package spf

import (
	"context"
	"net/netip"

	"postseal/domain"
	"postseal/internal/core/shared"
	"postseal/resolver"
)

// maxTree bounds the records of one Tree, far above what the lookup limit lets through.
const maxTree = 100

// Tree is what a domain's record may come to for any client: every include and redirect
// followed, every static name resolved (RFC 7208 §4.6.4).
type Tree struct {
	Root        *Node
	Lookups     int  // the most that a check can cost; over 10 is permerror (RFC 7208 §4.6.4)
	VoidLookups int  // the greater of the next two
	Voids4      int  // terms with a static name that are void lookups for an IPv4 client
	Voids6      int  // the same for an IPv6 client
	Incomplete  bool // there is more than is followed
}

// Node is the record of one domain.
type Node struct {
	Domain  string
	Code    Code   // "" when there is one valid record, else what check_host() returns
	Reason  Reason // why, with Code
	Problem string
	Err     error  // the lookup that failed, with TempError
	Text    string // the record
	Record  *Record
	Terms   []Term
	Lookups int // of this record and all below
}

// Term is a directive or the redirect of a record, in the order of evaluation.
type Term struct {
	Text      string // as written, with its qualifier
	Offset    int
	Mechanism Mechanism // "redirect" for the modifier
	Qualifier Code
	Lookup    int            // number of this lookup in the whole tree, 0 for none
	Name      string         // what is looked up; "" when it has macros
	Addresses []netip.Prefix // authorized by this term itself
	Void4     bool           // a void lookup for an IPv4 client
	Void6     bool           // a void lookup for an IPv6 client
	Problem   string
	Err       error // the lookup that failed, with Problem: nothing is known
	Unused    bool  // behind all: never evaluated, not followed
	Child     *Node // include, redirect
}

// Void reports whether what the term looks up is not there for any client.
func (t *Term) Void() bool { return t.Void4 && t.Void6 }

// redirectTerm is the Mechanism of a Term that is the modifier redirect.
const redirectTerm Mechanism = "redirect"

// Explore follows the record of name. It evaluates nothing: macros stay as they are.
func (c *Checker) Explore(ctx context.Context, name string) *Tree {
	if a, err := domain.Parse(name); err == nil {
		name = string(a)
	}
	x := &explorer{evaluation: &evaluation{Checker: c, dns: shared.Resolver(c.Resolver), ctx: ctx, limits: c.Limits.orDefault()}, tree: &Tree{}}
	x.tree.Root = x.node(name, nil)
	x.tree.Lookups = x.tree.Root.Lookups
	x.tree.VoidLookups = max(x.tree.Voids4, x.tree.Voids6)
	return x.tree
}

type explorer struct {
	*evaluation
	tree  *Tree
	nodes int
	count int
}

func (x *explorer) node(name string, above []string) *Node {
	n := &Node{Domain: name}
	if x.nodes++; x.nodes > maxTree {
		x.tree.Incomplete = true
		n.Problem = "not followed: the tree is too large"
		return n
	}
	for _, a := range above {
		if equalFold(a, name) {
			n.Code, n.Reason, n.Problem = PermError, TooManyLookups, "the record leads back to itself"
			return n
		}
	}
	x.failure = nil
	r, o := x.record(name)
	if r == nil {
		n.Code, n.Reason, n.Problem, n.Err = o.code, o.reason, o.problem, x.failure
		return n
	}
	n.Record, n.Text = r, r.Text
	x.prefetchAll(r, name)
	path := append(above[:len(above):len(above)], name)
	after := false
	for i := range r.Directives {
		if after {
			d := &r.Directives[i]
			n.add(Term{Text: d.written(r), Offset: d.Offset, Mechanism: d.Mechanism, Qualifier: d.Qualifier, Unused: true})
			continue
		}
		n.add(x.directive(&r.Directives[i], r, name, path))
		after = r.Directives[i].Mechanism == All
	}
	if r.Redirect != nil && !r.HasAll {
		n.add(x.child(Term{Text: r.Redirect.Text, Offset: r.Redirect.Offset, Mechanism: redirectTerm}, r.Redirect.Value, path))
	}
	return n
}

// prefetchAll asks at once for every static name of the record.
func (x *explorer) prefetchAll(r *Record, name string) {
	for i := range r.Directives {
		d := &r.Directives[i]
		if d.Mechanism == All {
			return
		}
		target, static := d.staticTarget(name)
		if !d.Lookups() || !static {
			continue
		}
		x.prefetchTerm(d.Mechanism, target)
		if d.Mechanism == A {
			resolver.Prefetch(x.Resolver, target, resolver.A)
		}
	}
}

func (n *Node) add(t Term) {
	n.Terms = append(n.Terms, t)
	if t.Lookup > 0 {
		n.Lookups++
	}
	if t.Child != nil {
		n.Lookups += t.Child.Lookups
	}
}

func (x *explorer) directive(d *Directive, r *Record, name string, path []string) Term {
	t := Term{Text: d.written(r), Offset: d.Offset, Mechanism: d.Mechanism, Qualifier: d.Qualifier}
	switch d.Mechanism {
	case All:
		return t
	case IP4, IP6:
		t.Addresses = []netip.Prefix{d.Prefix}
		return t
	case Include:
		return x.child(t, d.Target, path)
	}
	x.count++
	t.Lookup = x.count
	target, static := d.staticTarget(name)
	if !static {
		return t
	}
	t.Name = target
	switch d.Mechanism {
	case A:
		x.addresses(&t, d, target)
	case MX:
		x.mx(&t, d, target)
	case Exists:
		a, err := x.lookup(target, resolver.A)
		x.note(&t, len(a.Records) == 0, len(a.Records) == 0, err)
	}
	return t
}

// written is the directive as it stands in the record.
func (d *Directive) written(r *Record) string {
	if c := r.Text[d.Offset]; c == '+' || c == '-' || c == '~' || c == '?' {
		return string(c) + d.Text
	}
	return d.Text
}

func (x *explorer) child(t Term, m *MacroString, path []string) Term {
	x.count++
	t.Lookup = x.count
	target, static := m.Static()
	if !static {
		return t
	}
	t.Name = truncateName(target)
	t.Child = x.node(t.Name, path)
	return t
}

// note records a failed or void lookup in t.
func (x *explorer) note(t *Term, void4, void6 bool, err error) {
	if err != nil {
		t.Problem, t.Err = err.Error(), err
		return
	}
	t.Void4, t.Void6 = void4, void6
	if void4 {
		x.tree.Voids4++
	}
	if void6 {
		x.tree.Voids6++
	}
}

func (x *explorer) addresses(t *Term, d *Directive, target string) {
	v4, err := x.lookup(target, resolver.A)
	v6, err6 := x.lookup(target, resolver.AAAA)
	if err == nil {
		err = err6
	}
	x.note(t, len(v4.Records) == 0, len(v6.Records) == 0, err)
	d.authorize(t, v4)
	d.authorize(t, v6)
}

func (d *Directive) authorize(t *Term, a resolver.Answer) {
	for i := range a.Records {
		bits := d.Bits6
		if a.Records[i].Addr.Is4() {
			bits = d.Bits4
		}
		if p, err := a.Records[i].Addr.Prefix(bits); err == nil {
			t.Addresses = append(t.Addresses, p)
		}
	}
}

func (x *explorer) mx(t *Term, d *Directive, target string) {
	mx, err := x.lookup(target, resolver.MX)
	x.note(t, len(mx.Records) == 0, len(mx.Records) == 0, err)
	if len(mx.Records) > x.limits.Names {
		t.Problem = "more than 10 MX records: permerror"
		return
	}
	for i := range mx.Records {
		if mx.Records[i].Target == "" {
			continue
		}
		for _, family := range []resolver.Type{resolver.A, resolver.AAAA} {
			a, err := x.lookup(mx.Records[i].Target, family)
			if err != nil {
				t.Problem, t.Err = err.Error(), err
				continue
			}
			d.authorize(t, a)
		}
	}
}

func equalFold(a, b string) bool { return within(a, b) && within(b, a) }
