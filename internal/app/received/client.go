package received

import (
	"net/netip"
	"strings"

	"postseal/message"
)

// Client returns the client that sent the message to our own network, if one of our relays
// forwarded it: the first hop, from the field at index first on, whose client is outside. A hop
// is inside if its client is a relay, or has an address that only our own network can reach
// (RFC 1918, RFC 4193, RFC 6598, loopback, link-local) and that stop does not name. Fields
// below the one that names the client are ignored, because unknown hosts wrote them.
//
// Client returns false if the trace fields of our relays cannot be read: the client is then unknown.
func Client(h *message.Header, first int, relay, stop func(netip.Addr) bool) (Hop, bool) {
	relays := 0
	for i := first; i < h.Len(); i++ {
		f := h.At(i)
		if !f.Is("Received") || isNote(f.Value()) {
			continue
		}
		hop := Parse(f.Value())
		relays++
		switch {
		case hop.By == "" || !hop.IP.IsValid():
			// A client may have made the field unreadable with its HELO, so that we look further down.
			return Hop{}, false
		case relay(hop.IP), hop.IP.IsLoopback(), inside(hop.IP) && !stop(hop.IP):
		default:
			hop.Relays = relays
			return hop, true
		}
	}
	return Hop{}, false
}

// sharedSpace is the address space between a carrier and its customers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// inside reports whether an address is not reachable from the internet.
func inside(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLinkLocalUnicast() || sharedSpace.Contains(ip)
}

// isNote reports whether a Received field does not describe a hop: "(qmail 1234 invoked from
// network)", which qmail adds above the field that does.
func isNote(value []byte) bool {
	text := strings.TrimSpace(string(value[:min(len(value), maxField)]))
	rest, ok := strings.CutPrefix(text, "(qmail ")
	if !ok {
		return false
	}
	number, rest, ok := strings.Cut(rest, " invoked ")
	if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
		return false
	}
	how, _, ok := strings.Cut(rest, ")")
	return ok && (how == "from network" || how == "by alias" || strings.HasPrefix(how, "by uid "))
}
