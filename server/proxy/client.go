package proxy

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postseal/internal/core/smtpreply"
)

// attributes are what XFORWARD or XCLIENT say about a client, decoded, by upper-case name. An
// attribute that is "[UNAVAILABLE]" or "[TEMPUNAVAIL]" is empty.
type attributes map[string]string

// The attributes that we accept (Postfix XFORWARD_README, XCLIENT_README), in the order in
// which they are sent to the next hop.
var (
	xforwardNames = []string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}
	xclientNames  = []string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"}
)

// maxAttribute limits a decoded value; Postfix cuts at the same length.
const maxAttribute = 255

// merge reads "NAME=value NAME=value" into a, all or nothing.
func (a attributes) merge(arg string, allowed []string) error {
	got := attributes{}
	for word := range strings.FieldsSeq(arg) {
		name, value, ok := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		if !ok || !slices.Contains(allowed, name) {
			return errSyntax
		}
		decoded, ok := decodeXtext(value)
		if !ok {
			return errSyntax
		}
		if decoded == "[UNAVAILABLE]" || decoded == "[TEMPUNAVAIL]" {
			decoded = ""
		}
		got[name] = smtpreply.Clean(decoded, maxAttribute)
	}
	if len(got) == 0 {
		return errSyntax
	}
	for _, name := range []string{"ADDR", "DESTADDR"} {
		if got[name] == "" {
			continue
		}
		addr := parseAddr(got[name])
		if !addr.IsValid() {
			return errSyntax
		}
		got[name] = formatAddr(addr)
	}
	maps.Copy(a, got)
	return nil
}

// addrPort returns the client's address, or the zero value if unknown.
func (a attributes) addrPort() netip.AddrPort {
	addr := parseAddr(a["ADDR"])
	if !addr.IsValid() {
		return netip.AddrPort{}
	}
	port, _ := strconv.ParseUint(a["PORT"], 10, 16) // 0 if unknown
	return netip.AddrPortFrom(addr, uint16(port))
}

// parseAddr reads an address as XFORWARD and XCLIENT write it.
func parseAddr(s string) netip.Addr {
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// formatAddr writes an address in the form of XFORWARD and XCLIENT.
func formatAddr(addr netip.Addr) string {
	if addr.Is6() {
		return "IPv6:" + addr.String()
	}
	return addr.String()
}

// commands returns the attributes that the next hop accepts as commands of at most 512 octets
// (RFC 5321 §4.5.3.1.4).
func (a attributes) commands(verb string, names, taken []string) []string {
	var all []string
	line := verb
	for _, name := range names {
		value, known := a[name]
		if !known || !slices.Contains(taken, name) {
			continue
		}
		word := " " + name + "=" + encodeAttribute(value)
		if line != verb && len(line)+len(word) > smtpreply.MaxLine-2 {
			all = append(all, line)
			line = verb
		}
		line += word
	}
	if line == verb {
		return all
	}
	return append(all, line)
}

func encodeAttribute(value string) string {
	if value == "" {
		return "[UNAVAILABLE]"
	}
	return encodeXtext(value)
}

// encodeXtext writes xtext (RFC 3461 §4).
func encodeXtext(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c > 0x7e || c == '+' || c == '=' {
			b.WriteByte('+')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeXtext reads xtext (RFC 3461 §4).
func decodeXtext(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), true
}
