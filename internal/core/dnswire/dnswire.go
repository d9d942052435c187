// Package dnswire turns the records of miekg/dns, which are in presentation form, into the
// raw octets of the resolver contract, and back.
package dnswire

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Record has the fields of resolver.RR, for a conversion between the two.
type Record struct {
	Text       string
	Strings    []int
	Addr       netip.Addr
	Target     string
	Preference uint16
	Data       []byte
}

// Name is a domain name of miekg/dns as the contract has it: raw octets, ASCII letters
// in lower case (RFC 4343 §3), no trailing dot. The root is "".
func Name(s string) string { return Lower(Unescape(strings.TrimSuffix(s, "."))) }

// Lower is s with ASCII letters in lower case; other octets stay, whatever they mean in
// Unicode (RFC 4343 §3).
func Lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Unescape turns the presentation form of a name or a character-string into its octets
// (RFC 1035 §5.1).
func Unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b = append(b, s[i])
		case i+3 < len(s) && digits(s[i+1:i+4]):
			b = append(b, (s[i+1]-'0')*100+(s[i+2]-'0')*10+(s[i+3]-'0'))
			i += 3
		default:
			i++
			b = append(b, s[i])
		}
	}
	return string(b)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Escape is the inverse of Unescape for a dotted name, and adds the trailing dot that miekg/dns
// wants. Every octet that is not a letter, digit, hyphen, underscore or dot is written as \DDD.
func Escape(name string) string {
	b := make([]byte, 0, len(name)+1)
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b = append(b, c)
		default:
			b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return string(append(b, '.'))
}

// Convert takes the data out of rr.
func Convert(rr dns.RR) Record {
	switch rr := rr.(type) {
	case *dns.A:
		ip, _ := netip.AddrFromSlice(rr.A)
		return Record{Addr: ip.Unmap()}
	case *dns.AAAA:
		ip, _ := netip.AddrFromSlice(rr.AAAA)
		return Record{Addr: ip}
	case *dns.TXT:
		return text(rr.Txt)
	case *dns.SPF:
		return text(rr.Txt)
	case *dns.MX:
		return Record{Target: Name(rr.Mx), Preference: rr.Preference}
	case *dns.PTR:
		return Record{Target: Name(rr.Ptr)}
	case *dns.CNAME:
		return Record{Target: Name(rr.Target)}
	case *dns.NS:
		return Record{Target: Name(rr.Ns)}
	}
	return Record{Data: rdata(rr)}
}

func text(parts []string) Record {
	rr := Record{Strings: make([]int, len(parts))}
	if len(parts) == 1 {
		rr.Text = Unescape(parts[0])
		rr.Strings[0] = len(rr.Text)
		return rr
	}
	var b strings.Builder
	for i, p := range parts {
		p = Unescape(p)
		rr.Strings[i] = len(p)
		b.WriteString(p)
	}
	rr.Text = b.String()
	return rr
}

// rrHeader is the type, class, TTL and length between the owner and the data of a record
// (RFC 1035 §3.2.1).
const rrHeader = 10

func rdata(rr dns.RR) []byte {
	buf := make([]byte, dns.Len(rr)+16)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	start, err := dns.PackDomainName(rr.Header().Name, make([]byte, 256), 0, nil, false)
	if err != nil {
		return nil
	}
	return buf[start+rrHeader : end]
}
