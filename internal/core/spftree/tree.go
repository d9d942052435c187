// Package spftree follows an SPF record for every client at once: what it may cost, and whom it
// authorizes (RFC 7208 §4.6.4). Package spf evaluates a record for one client.
package spftree

import (
	"context"
	"net/netip"
	"strings"

	"postseal/domain"
	"postseal/internal/core/dnsdata"
	"postseal/internal/core/middleware"
	"postseal/internal/core/shared"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
	"postseal/spf"
)

// maxTree limits the records of one Tree, far above what the lookup limit allows.
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
	Code    spf.Code   // "" when there is one valid record, else what check_host() returns
	Reason  spf.Reason // why, with Code
	Problem string
	Err     error  // the lookup that failed, with TempError
	Text    string // the record
	Record  *spfrecord.Record
	Terms   []Term
	Lookups int // of this record and all below
}

// Term is a directive or the redirect of a record, in the order of evaluation.
type Term struct {
	Text      string // as written, with its qualifier
	Offset    int
	Mechanism spfrecord.Mechanism // "redirect" for the modifier
	Qualifier spf.Code
	Lookup    int            // number of this lookup in the whole tree, 0 for none
	Name      string         // what is looked up; "" when it has macros
	Addresses []netip.Prefix // authorized by this term itself
	Void4     bool           // a void lookup for an IPv4 client
	Void6     bool           // a void lookup for an IPv6 client
	Problem   string
	Err       error // the lookup that failed, with Problem: nothing is known
	Unused    bool  // after all: never evaluated, not followed
	Child     *Node // include, redirect
}

// Void reports whether what the term looks up is not there for any client.
func (t *Term) Void() bool { return t.Void4 && t.Void6 }

// redirectTerm is the Mechanism of a Term that is the modifier redirect.
const redirectTerm spfrecord.Mechanism = "redirect"

// Explore follows the record of name, with the default limits of package spf. It evaluates
// nothing: macros stay as they are.
func Explore(ctx context.Context, dns resolver.Resolver, name string) *Tree {
	if a, err := domain.Parse(name); err == nil {
		name = string(a)
	}
	x := &explorer{dns: shared.Resolver(dns), ctx: ctx, tree: &Tree{}}
	x.tree.Root = x.node(name, nil)
	x.tree.Lookups = x.tree.Root.Lookups
	x.tree.VoidLookups = max(x.tree.Voids4, x.tree.Voids6)
	return x.tree
}

type explorer struct {
	dns   resolver.Resolver
	ctx   context.Context
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
		if sameName(a, name) {
			n.Code, n.Reason, n.Problem = spf.PermError, spf.TooManyLookups, "the record leads back to itself"
			return n
		}
	}
	r, fault, err := x.record(name)
	if r == nil {
		n.Code, n.Reason, n.Problem, n.Err = spf.Code(fault.Code), spf.Reason(fault.Reason), fault.Problem, err
		return n
	}
	n.Record, n.Text = r, r.Text
	x.prefetchAll(r, name)
	path := append(above[:len(above):len(above)], name)
	after := false
	for i := range r.Directives {
		if after {
			d := &r.Directives[i]
			n.add(Term{Text: d.Written(r), Offset: d.Offset, Mechanism: d.Mechanism, Qualifier: spf.Code(d.Qualifier), Unused: true})
			continue
		}
		n.add(x.directive(&r.Directives[i], r, name, path))
		after = r.Directives[i].Mechanism == spfrecord.All
	}
	if r.Redirect != nil && !r.HasAll {
		n.add(x.child(Term{Text: r.Redirect.Text, Offset: r.Redirect.Offset, Mechanism: redirectTerm}, r.Redirect.Value, path))
	}
	return n
}

// record finds the record of name. The error is that of the lookup.
func (x *explorer) record(name string) (*spfrecord.Record, spfrecord.Fault, error) {
	if !spfrecord.IsDomain(name) {
		return nil, spfrecord.NotADomain(name), nil
	}
	a, err := x.dns.Lookup(x.ctx, name, resolver.TXT)
	if err != nil {
		return nil, spfrecord.LookupFault(x.ctx, err), err
	}
	r, fault := spfrecord.Choose(a, name, spf.DefaultRecordBytes)
	if r == nil {
		return nil, fault, nil
	}
	r, err = spfrecord.Parse(r.Text) // with every term
	return r, fault, err
}

// prefetchAll asks at once for every static name of the record.
func (x *explorer) prefetchAll(r *spfrecord.Record, name string) {
	for i := range r.Directives {
		d := &r.Directives[i]
		if d.Mechanism == spfrecord.All {
			return
		}
		target, static := d.StaticTarget(name)
		if !d.Lookups() || !static {
			continue
		}
		for _, t := range asks[d.Mechanism] {
			middleware.Prefetch(x.dns, target, t)
		}
	}
}

// asks are the types that a mechanism with a static name looks up first.
var asks = map[spfrecord.Mechanism][]resolver.Type{
	spfrecord.Include: {resolver.TXT}, spfrecord.A: {resolver.A, resolver.AAAA}, spfrecord.MX: {resolver.MX}, spfrecord.Exists: {resolver.A},
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

func (x *explorer) directive(d *spfrecord.Directive, r *spfrecord.Record, name string, path []string) Term {
	t := Term{Text: d.Written(r), Offset: d.Offset, Mechanism: d.Mechanism, Qualifier: spf.Code(d.Qualifier)}
	switch d.Mechanism {
	case spfrecord.All:
		return t
	case spfrecord.IP4, spfrecord.IP6:
		t.Addresses = []netip.Prefix{d.Prefix}
		return t
	case spfrecord.Include:
		return x.child(t, d.Target, path)
	}
	x.count++
	t.Lookup = x.count
	target, static := d.StaticTarget(name)
	if !static {
		return t
	}
	t.Name = target
	switch d.Mechanism {
	case spfrecord.A:
		x.addresses(&t, d, target)
	case spfrecord.MX:
		x.mx(&t, d, target)
	case spfrecord.Exists:
		a, err := x.dns.Lookup(x.ctx, target, resolver.A)
		x.note(&t, len(a.Records) == 0, len(a.Records) == 0, err)
	}
	return t
}

func (x *explorer) child(t Term, m *spfrecord.MacroString, path []string) Term {
	x.count++
	t.Lookup = x.count
	target, static := m.Static()
	if !static {
		return t
	}
	t.Name = spfrecord.TruncateName(target)
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

func (x *explorer) addresses(t *Term, d *spfrecord.Directive, target string) {
	v4, err := x.dns.Lookup(x.ctx, target, resolver.A)
	v6, err6 := x.dns.Lookup(x.ctx, target, resolver.AAAA)
	if err == nil {
		err = err6
	}
	x.note(t, len(v4.Records) == 0, len(v6.Records) == 0, err)
	authorize(t, d, v4)
	authorize(t, d, v6)
}

func authorize(t *Term, d *spfrecord.Directive, a resolver.Answer) {
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

func (x *explorer) mx(t *Term, d *spfrecord.Directive, target string) {
	mx, err := x.dns.Lookup(x.ctx, target, resolver.MX)
	x.note(t, len(mx.Records) == 0, len(mx.Records) == 0, err)
	if len(mx.Records) > spf.DefaultNames {
		t.Problem = "more than 10 MX records: permerror"
		return
	}
	for i := range mx.Records {
		if mx.Records[i].Target == "" {
			continue
		}
		for _, family := range []resolver.Type{resolver.A, resolver.AAAA} {
			a, err := x.dns.Lookup(x.ctx, mx.Records[i].Target, family)
			if err != nil {
				t.Problem, t.Err = err.Error(), err
				continue
			}
			authorize(t, d, a)
		}
	}
}

func sameName(a, b string) bool {
	return dnsdata.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
