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
	v6       []filter6 // by directive; nil when no ip6 is there
	place    []uint8   // by directive: in targets
	targets  []target  // the first is the one of those that have none before an evaluation
	redirect target
	own      atomic.Pointer[target] // the domain of the record, once a check has begun with it
}

// filter4 tells whether a directive is worth a look for an IPv4 client: those that name
// networks most often are not. The zero value always is, for no network.
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
	if r.v6 == nil {
		return r.v4[i] == filter4{}
	}
	f := &r.v6[i]
	return c.v6[0]&f.mask[0] == f.base[0] && c.v6[1]&f.mask[1] == f.base[1]
}

// maxLinked is how many targets of a record have a link: an evaluation ends at ten.
const maxLinked = 16

func compile(r *Record) *compiled {
	n := len(r.Directives)
	c := &compiled{Record: r, v4: make([]filter4, n), place: make([]uint8, n), targets: make([]target, 1)}
	for i := range r.Directives {
		d := &r.Directives[i]
		switch {
		case d.Mechanism == IP4:
			c.v4[i] = filter4Of(d.Prefix)
		case d.Mechanism == IP6:
			c.v4[i] = never4
			c.filter6(i, d.Prefix)
		case d.Target != nil && len(c.targets) <= maxLinked:
			c.place[i] = uint8(len(c.targets))
			c.targets = append(c.targets, staticTarget(d.Target))
		}
	}
	if r.Redirect != nil {
		c.redirect = staticTarget(r.Redirect.Value)
	}
	return c
}

// filter6 notes directive i, an ip6. The first one makes the list.
func (r *compiled) filter6(i int, p netip.Prefix) {
	if r.v6 == nil {
		r.v6 = make([]filter6, len(r.Directives))
		for j := range r.Directives {
			if r.Directives[j].Mechanism == IP4 {
				r.v6[j] = never6
			}
		}
	}
	r.v6[i] = filter6Of(p)
}

// target is the one of directive i.
func (r *compiled) target(i int) *target { return &r.targets[r.place[i]] }

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
	name  string         // as written, for macros
	shown string         // for people
	link  *resolver.Link // the way to its answers, nil when there is none
}

func targetOf(name string) target { return target{name: name, shown: shownName(name)} }

// at is t with the link that an earlier check of the record left, if it was for the same name.
func (r *compiled) at(t *target) *target {
	if t.link != nil {
		return t
	}
	own := r.own.Load()
	if own == nil {
		own = &target{name: t.name, shown: t.shown, link: resolver.NewLink(t.name)}
		r.own.Store(own)
	}
	if own.name != t.name {
		return t
	}
	return own
}

// staticTarget is the target of a domain-spec without macros; else, and where the name cannot
// have a record, one without a link.
func staticTarget(m *MacroString) target {
	s, static := m.Static()
	name := truncateName(s)
	if !static || !multiLabel(name) {
		return target{}
	}
	t := targetOf(name)
	t.link = resolver.NewLink(name)
	return t
}
