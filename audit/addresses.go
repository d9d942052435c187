package audit

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"
)

// addressSet is a set of addresses, as prefixes that may overlap.
type addressSet struct {
	v4, v6 []netip.Prefix
}

// maxPrefixes bounds the set; a tree has far fewer.
const maxPrefixes = 20000

func (s *addressSet) add(list []netip.Prefix) {
	for _, p := range list {
		switch {
		case len(s.v4)+len(s.v6) >= maxPrefixes:
			return
		case p.Addr().Is4():
			s.v4 = append(s.v4, p.Masked())
		default:
			s.v6 = append(s.v6, p.Masked())
		}
	}
}

func (s *addressSet) everything() {
	s.add([]netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
}

// disjoint returns the prefixes that no other one covers. Two prefixes overlap only if one
// covers the other.
func disjoint(list []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
	})
	out := sorted[:0]
	for _, p := range sorted {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// count returns how many addresses are in the set, in decimal.
func (s *addressSet) count() (v4, v6 string) { return size(s.v4), size(s.v6) }

func size(list []netip.Prefix) string {
	total := new(big.Int)
	for _, p := range disjoint(list) {
		bits := p.Addr().BitLen() - p.Bits()
		total.Add(total, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	return total.String()
}

// covering returns the first prefix of list that holds all of p.
func covering(list []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	for _, q := range list {
		if q.Bits() <= p.Bits() && q.Overlaps(p) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}
