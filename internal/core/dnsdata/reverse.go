package dnsdata

import (
	"net/netip"
	"strings"
)

// ReverseName is the name whose PTR records name ip (RFC 1035 §3.5, RFC 3596 §2.5). An
// IPv4-mapped address is taken for IPv4.
func ReverseName(ip netip.Addr) string {
	ip = ip.Unmap()
	if ip.Is4() {
		b := ip.As4()
		name := netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}).AppendTo(make([]byte, 0, len("255.255.255.255.in-addr.arpa")))
		return string(append(name, ".in-addr.arpa"...))
	}
	const hex = "0123456789abcdef"
	b := ip.As16()
	var s strings.Builder
	s.Grow(72)
	for i := 15; i >= 0; i-- {
		s.WriteByte(hex[b[i]&15])
		s.WriteByte('.')
		s.WriteByte(hex[b[i]>>4])
		s.WriteByte('.')
	}
	s.WriteString("ip6.arpa")
	return s.String()
}
