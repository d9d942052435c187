// Package publicip distinguishes addresses of the public internet from those of the
// special-purpose registries of IANA (RFC 6890), so that a name in an untrusted zone cannot
// direct a connection into a private network.
package publicip

import "net/netip"

// verdict is what a block says of the addresses in it.
type verdict int

const (
	no     verdict = iota // not globally reachable
	yes                   // globally reachable, within a block that is not
	inside                // decided by the IPv4 address that it embeds
)

// blocks are the rows of both registries, and deprecated blocks that are in neither. The most
// specific block that holds an address decides. testdata has the rows with their sources.
var blocks = map[string]verdict{
	"0.0.0.0/8": no, "10.0.0.0/8": no, "100.64.0.0/10": no, "127.0.0.0/8": no, "169.254.0.0/16": no, "172.16.0.0/12": no,
	"192.0.0.0/24": no, "192.0.0.9/32": yes, "192.0.0.10/32": yes, "192.0.2.0/24": no, "192.31.196.0/24": yes, "192.52.193.0/24": yes,
	"192.88.99.0/24": no, "192.168.0.0/16": no, "192.175.48.0/24": yes, "198.18.0.0/15": no, "198.51.100.0/24": no, "203.0.113.0/24": no,
	"224.0.0.0/4": no, "240.0.0.0/4": no, "255.255.255.255/32": no,

	"::/0": no, "2000::/3": yes, // RFC 4291 §2.4: other global unicast space is not allocated
	"::/128": no, "::1/128": no, "::/96": no, "::ffff:0:0/96": inside, "64:ff9b::/96": inside, "64:ff9b:1::/48": no,
	"100::/64": no, "100:0:0:1::/64": no, "2001::/23": no, "2001::/32": no, "2001:1::1/128": yes, "2001:1::2/128": yes, "2001:1::3/128": yes,
	"2001:2::/48": no, "2001:3::/32": yes, "2001:4:112::/48": yes, "2001:10::/28": no, "2001:20::/28": yes, "2001:30::/28": yes,
	"2001:db8::/32": no, "2002::/16": inside, "2620:4f:8000::/48": yes, "3fff::/20": no, "5f00::/16": no,
	"fc00::/7": no, "fe80::/10": no, "fec0::/10": no, "ff00::/8": no,
}

var table = parse(blocks)

func parse(blocks map[string]verdict) map[netip.Prefix]verdict {
	m := make(map[netip.Prefix]verdict, len(blocks))
	for text, v := range blocks {
		m[netip.MustParsePrefix(text)] = v
	}
	return m
}

// Is reports whether ip can be that of a host on the public internet. It is false for the
// zero Addr and for an address with a zone. An address that embeds an IPv4 address (mapped,
// 6to4, or translated by RFC 6052) is judged by that.
func Is(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	switch of(ip) {
	case yes:
		return true
	case inside:
		return Is(embedded(ip))
	}
	return false
}

// of finds the most specific block that holds ip.
func of(ip netip.Addr) verdict {
	for bits := ip.BitLen(); bits >= 0; bits-- {
		p, _ := ip.Prefix(bits)
		if v, ok := table[p]; ok {
			return v
		}
	}
	return yes // IPv4 outside of the registry
}

// embedded returns the IPv4 address in ip: after the first 16 bits of 6to4 (RFC 3056 §2),
// else the last 32 bits.
func embedded(ip netip.Addr) netip.Addr {
	b := ip.As16()
	if b[0] == 0x20 && b[1] == 0x02 {
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return netip.AddrFrom4([4]byte(b[12:16]))
}
