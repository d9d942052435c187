package received

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// client is what a client may choose: its HELO name, the answer of its ident server, its
// reverse DNS, the name in its certificate, its SASL name, a recipient.
type client struct{ helo, ident, ptr, cn, login, rcpt string }

// stamps write a Received field as each kind of server does, with what that server does to the
// client's text.
var stamps = map[string]func(c client, addr string) string{
	"Postfix": func(c client, addr string) string {
		return fmt.Sprintf("from %s (%s [%s])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t(Client CN \"%s\", Issuer \"%s\" (not verified))\r\n\t(Authenticated sender: %s)\r\n\tby mx.example.net (Postfix) with ESMTPS id 4c\r\n\tfor <%s>; x",
			neuter(c.helo), hostname(c.ptr), tagged(addr), sanitized(c.cn), sanitized(c.cn), sanitized(c.login), c.rcpt)
	},
	"Sendmail": func(c client, addr string) string {
		return fmt.Sprintf("from %s (%s@%s [%s] (may be forged))\r\n\tby mx.example.net (8.18.1/8.18.1) with ESMTP id 1\r\n\tfor <%s>; x",
			only(c.helo, "[].-_#:"), only(c.ident, "!#$%&'*+-./^_`{|}~"), hostname(c.ptr), tagged(addr), c.rcpt)
	},
	"Exim": func(c client, addr string) string {
		return fmt.Sprintf("from %s ([%s]:4711 helo=%s ident=%s)\r\n\tby mx.example.net with esmtps (TLS1.3) tls X\r\n\t(Exim 4.98)\r\n\t(envelope-from <a@b.test>)\r\n\tid 1u\r\n\tfor %s; x",
			hostname(c.ptr), addr, only(c.helo, ".-_:[]"), printable(c.ident), c.rcpt)
	},
	"Exim without a name": func(c client, addr string) string {
		return fmt.Sprintf("from [%s] (port=1 helo=%s ident=%s)\r\n\tby mx.example.net with esmtp (Exim 4.98)\r\n\tid 1u for %s; x",
			addr, only(c.helo, ".-_:[]"), printable(c.ident), c.rcpt)
	},
	"qmail": func(c client, addr string) string {
		return fmt.Sprintf("from %s (HELO %s) (%s@%s)\r\n  by mx.example.net with SMTP; x", safeput(c.ptr), safeput(c.helo), safeput(c.ident), addr)
	},
	"Exchange": func(c client, addr string) string {
		return fmt.Sprintf("from %s (%s) by EX1.example.net\r\n (10.0.0.11) with Microsoft SMTP Server id 15.2; x", only(c.helo, ".-_[]:"), addr)
	},
}

// neuter is what Postfix does to a HELO name.
func neuter(s string) string {
	return mapped(s, func(c byte) bool { return c > ' ' && c < 0x7f && !strings.ContainsRune("<>()\\\";@", rune(c)) })
}

// sanitized is what Postfix does to text in a comment: printable, no backslash, and no
// parenthesis without its partner.
func sanitized(s string) string {
	b := []byte(mapped(s, func(c byte) bool { return c >= ' ' && c < 0x7f && c != '\\' }))
	var open []int
	for i, c := range b {
		switch {
		case c == '(':
			open = append(open, i)
		case c == ')' && len(open) == 0:
			b[i] = '?'
		case c == ')':
			open = open[:len(open)-1]
		}
	}
	for _, i := range open {
		b[i] = '?'
	}
	return string(b)
}

// hostname is a name that reverse DNS may have, as all of these servers check it.
func hostname(s string) string { return only(s, ".-_") }

// safeput is that of qmail.
func safeput(s string) string { return only(s, ".@%+/=:-") }

func printable(s string) string {
	return mapped(s, func(c byte) bool { return c >= ' ' && c < 0x7f })
}

func only(s, more string) string {
	return mapped(s, func(c byte) bool {
		return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte(more, c) >= 0
	})
}

func mapped(s string, allowed func(byte) bool) string {
	b := []byte(s[:min(len(s), 120)])
	for i := range b {
		if !allowed(b[i]) {
			b[i] = '?'
		}
	}
	if len(b) == 0 {
		return "x"
	}
	return string(b)
}

func tagged(addr string) string {
	if strings.Contains(addr, ":") {
		return "IPv6:" + addr
	}
	return addr
}

// FuzzStamp: whatever a client chooses, in whatever place, no server's field yields an address
// that is not the client's own, nor another host that stamped it.
func FuzzStamp(f *testing.F) {
	tricks := []string{"x [203.0.113.5]", "x (u [203.0.113.5])", "[203.0.113.5]", "203.0.113.5", "a) (u [203.0.113.5]", "a (b) [127.0.0.1]",
		`x", Issuer "y" (not verified)) (u [10.0.0.1]`, "helo=[203.0.113.5]", "(Exim 1)", "x by mx.example.net (u [203.0.113.5])", "x; y", "a\\", "((((", "[127.0.0.1]:25", "user@203.0.113.5"}
	for i, trick := range tricks {
		f.Add(trick, trick, trick, trick, trick, `"(chasquid) (exim 1) `+trick+`"@example.net`)
		f.Add(trick, "user", "host.test", tricks[(i+1)%len(tricks)], "user", "to@example.net")
	}
	f.Fuzz(func(t *testing.T, helo, ident, ptr, cn, login, rcpt string) {
		c := client{helo, ident, ptr, cn, login, printable(rcpt)}
		for name, stamp := range stamps {
			for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
				text := stamp(c, addr)
				hop := Parse([]byte(text))
				if hop.IP.IsValid() && hop.IP != netip.MustParseAddr(addr) {
					t.Errorf("%s: %q is read as from %v", name, text, hop.IP)
				}
				if by := strings.ToLower(hop.By); by != "" && by != "mx.example.net" && by != "ex1.example.net" {
					t.Errorf("%s: %q is read as stamped by %q", name, text, hop.By)
				}
			}
		}
	})
}

// TestStampsAreRead: a client that plays no tricks is found in the field of every server.
func TestStampsAreRead(t *testing.T) {
	honest := client{"out.test", "mail", "n.example", "out.test", "joe", "to@example.net"}
	for name, stamp := range stamps {
		t.Run(name, func(t *testing.T) {
			for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
				if hop := Parse([]byte(stamp(honest, addr))); hop.IP != netip.MustParseAddr(addr) || hop.From != "out.test" {
					t.Errorf("Parse(%q) = %+v", stamp(honest, addr), hop)
				}
			}
		})
	}
}
