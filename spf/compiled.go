package spf

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"postseal/resolver"
)

// compiled is a record in the form that evaluations read: it is kept with a cached answer, so
// that it is made once.
type compiled struct {
	*Record
	v4       []filter4 // by directive
	v6       []filter6
	targets  []target // by directive; without links where nothing is known before
	redirect target
	own      atomic.Pointer[target] // the domain that a check began with
}

// filter4 tells whether a directive is worth a look for an IPv4 client: those that name
// networks most often are not. The zero value always is.
type filter4 struct{ base, mask uint32 }

// filter6 is the same for IPv6.
type filter6 struct{ base, mask [2]uint64 }

// A directive of the other family never matches.
var (
	never4 = filter4{base: 1}
	never6 = filter6{base: [2]uint64{1, 0}}
)

// client is an address in the form of the filters.
type client struct {
	four bool
	v4   uint32
	v6   [2]uint64
}

func clientOf(ip netip.Addr) client {
	if ip.Is4() {
		b := ip.As4()
		return client{four: true, v4: binary.BigEndian.Uint32(b[:])}
	}
	return client{v6: halves(ip)}
}

func halves(ip netip.Addr) [2]uint64 {
	b := ip.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// passes reports whether directive i may match c.
func (r *compiled) passes(i int, c *client) bool {
	if c.four {
		f := &r.v4[i]
		return c.v4&f.mask == f.base
	}
	f := &r.v6[i]
	return c.v6[0]&f.mask[0] == f.base[0] && c.v6[1]&f.mask[1] == f.base[1]
}

// maxLinked is how many targets of a record have links: an evaluation ends at ten.
const maxLinked = 16

func compile(r *Record) *compiled {
	c := &compiled{Record: r, v4: make([]filter4, len(r.Directives)), v6: make([]filter6, len(r.Directives)), targets: make([]target, len(r.Directives))}
	linked := 0
	for i := range r.Directives {
		d := &r.Directives[i]
		switch d.Mechanism {
		case IP4:
			c.v4[i], c.v6[i] = filter4Of(d.Prefix), never6
		case IP6:
			c.v4[i], c.v6[i] = never4, filter6Of(d.Prefix)
		}
		if d.Target != nil && linked < maxLinked {
			linked++
			c.targets[i] = staticTarget(d.Target)
		}
	}
	if r.Redirect != nil {
		c.redirect = staticTarget(r.Redirect.Value)
	}
	return c
}

func filter4Of(p netip.Prefix) filter4 {
	mask := uint32(0xffffffff)
	mask <<= 32 - p.Bits()
	b := p.Addr().As4()
	return filter4{base: binary.BigEndian.Uint32(b[:]) & mask, mask: mask}
}

func filter6Of(p netip.Prefix) filter6 {
	f := filter6{base: halves(p.Addr())}
	for i := range f.mask {
		f.mask[i] = ^uint64(0) << (64 - min(max(p.Bits()-64*i, 0), 64))
		f.base[i] &= f.mask[i]
	}
	return f
}

// target is the <target-name> of a term, or the domain of a check (RFC 7208 §4.1, §4.8).
type target struct {
	name  string // as written, for macros
	shown string // for people
	links *links // ways to its answers, nil when there are none
}

// links lead to the answers for one name.
type links struct{ txt, a, aaaa, mx resolver.Link }

func linksTo(name string) *links {
	l := new(links)
	l.txt.Set(name, resolver.TXT)
	l.a.Set(name, resolver.A)
	l.aaaa.Set(name, resolver.AAAA)
	l.mx.Set(name, resolver.MX)
	return l
}

func (l *links) of(t resolver.Type) *resolver.Link {
	switch t {
	case resolver.A:
		return &l.a
	case resolver.AAAA:
		return &l.aaaa
	case resolver.MX:
		return &l.mx
	}
	return &l.txt
}

func targetOf(name string) target { return target{name: name, shown: shownName(name)} }

// at is t with the links that an earlier check of the record left, if it was for the same name.
func (r *compiled) at(t target) target {
	if t.links != nil {
		return t
	}
	own := r.own.Load()
	if own == nil {
		own = &target{name: t.name, shown: t.shown, links: linksTo(t.name)}
		r.own.Store(own)
	}
	if own.name != t.name {
		return t
	}
	return *own
}

// staticTarget is the target of a domain-spec without macros; else, and where the name cannot
// have a record, one without links.
func staticTarget(m *MacroString) target {
	s, static := m.Static()
	name := truncateName(s)
	if !static || !multiLabel(name) {
		return target{}
	}
	t := targetOf(name)
	t.links = linksTo(name)
	return t
}
