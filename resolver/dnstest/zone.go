// Package dnstest answers DNS questions from zone text: in memory, as a
// resolver.Resolver, or as a real server on loopback, with faults.
//
// Zone text is RFC 1035 master format with $ORIGIN and $TTL, plus comment lines that
// make faults: "; FAULT <name> <TYPE|ANY> SERVFAIL|TIMEOUT|REFUSED|BOGUS", and "; SECURE
// <name>", which marks the answers of a name as DNSSEC-validated. A name that no zone
// holds is NXDOMAIN.
package dnstest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postseal/resolver"
)

// maxChain bounds the CNAMEs of one answer.
const maxChain = 10

// negativeTTL is that of a zone without SOA.
const negativeTTL = 60 * time.Second

// Zone answers from zone text alone. It is immutable and safe for concurrent use.
type Zone struct {
	names  map[string]map[resolver.Type]*rrset
	exists map[string]bool // names with records, and the empty non-terminals above them
	faults map[string]resolver.Kind
	secure map[string]bool
}

type rrset struct {
	records []resolver.RR
	ttl     time.Duration
	raw     []dns.RR
}

// SyntaxError is a line that is no zone text.
type SyntaxError struct {
	File      string
	Line, Col int
	Msg       string
}

// Error is "file:line:col: message".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

func newZone() *Zone {
	return &Zone{names: map[string]map[resolver.Type]*rrset{}, exists: map[string]bool{}, faults: map[string]resolver.Kind{}, secure: map[string]bool{}}
}

// Parse reads one zone from each text. The error is a *SyntaxError.
func Parse(texts ...string) (*Zone, error) {
	z := newZone()
	for _, text := range texts {
		if err := z.read("zone", text); err != nil {
			return nil, err
		}
	}
	return z, nil
}

// ParseFiles reads zone files. The error is a *SyntaxError, or that of the file system.
func ParseFiles(paths ...string) (*Zone, error) {
	z := newZone()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := z.read(path, string(data)); err != nil {
			return nil, err
		}
	}
	return z, nil
}

func (z *Zone) read(file, text string) error {
	for i, line := range strings.Split(text, "\n") {
		if err := z.directive(line); err != "" {
			return &SyntaxError{File: file, Line: i + 1, Col: 1, Msg: err}
		}
	}
	p := dns.NewZoneParser(strings.NewReader(text), ".", file)
	p.SetDefaultTTL(60)
	p.SetIncludeAllowed(false)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return syntaxError(file, err)
	}
	return nil
}

// syntaxError takes the line and column out of the parser's message, which ends in
// "at line: L:C".
func syntaxError(file string, err error) error {
	e := &SyntaxError{File: file, Line: 1, Col: 1, Msg: err.Error()}
	if i := strings.LastIndex(e.Msg, " at line: "); i >= 0 {
		fmt.Sscanf(e.Msg[i:], " at line: %d:%d", &e.Line, &e.Col)
		e.Msg = e.Msg[:i]
	}
	e.Msg = strings.TrimPrefix(strings.TrimPrefix(e.Msg, file+": "), "dns: ")
	return e
}

var faultKinds = map[string]resolver.Kind{"SERVFAIL": resolver.ServFail, "TIMEOUT": resolver.Timeout,
	"REFUSED": resolver.Refused, "BOGUS": resolver.Bogus}

// directive reads a FAULT or SECURE comment and returns what is wrong with it.
func (z *Zone) directive(line string) string {
	comment, ok := strings.CutPrefix(strings.TrimSpace(line), ";")
	if !ok {
		return ""
	}
	words := strings.Fields(comment)
	switch {
	case len(words) > 0 && words[0] == "FAULT":
		if len(words) != 4 {
			return "FAULT needs a name, a type or ANY, and SERVFAIL, TIMEOUT, REFUSED or BOGUS"
		}
		kind, ok := faultKinds[words[3]]
		if !ok {
			return fmt.Sprintf("FAULT: %q is not one of SERVFAIL, TIMEOUT, REFUSED, BOGUS", words[3])
		}
		if _, ok := resolver.ParseType(words[2]); !ok && words[2] != "ANY" {
			return fmt.Sprintf("FAULT: %q is no record type", words[2])
		}
		z.faults[key(words[1])+" "+words[2]] = kind
	case len(words) > 0 && words[0] == "SECURE":
		if len(words) != 2 {
			return "SECURE needs a name"
		}
		z.secure[key(words[1])] = true
	}
	return ""
}

func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (z *Zone) add(rr dns.RR) {
	name := key(Unescape(rr.Header().Name))
	if z.names[name] == nil {
		z.names[name] = map[resolver.Type]*rrset{}
	}
	t := resolver.Type(rr.Header().Rrtype)
	set := z.names[name][t]
	if set == nil {
		set = &rrset{ttl: time.Duration(rr.Header().Ttl) * time.Second}
		z.names[name][t] = set
	}
	set.ttl = min(set.ttl, time.Duration(rr.Header().Ttl)*time.Second)
	set.records = append(set.records, Convert(rr))
	set.raw = append(set.raw, rr)
	for n := name; n != ""; {
		z.exists[n] = true
		_, n, _ = strings.Cut(n, ".")
	}
}

// Convert gives rr the shape of the resolver contract: raw octets, no escapes.
func Convert(rr dns.RR) resolver.RR {
	switch rr := rr.(type) {
	case *dns.A:
		ip, _ := netip.AddrFromSlice(rr.A)
		return resolver.RR{Addr: ip.Unmap()}
	case *dns.AAAA:
		ip, _ := netip.AddrFromSlice(rr.AAAA)
		return resolver.RR{Addr: ip}
	case *dns.TXT:
		return convertText(rr.Txt)
	case *dns.SPF:
		return convertText(rr.Txt)
	case *dns.MX:
		return resolver.RR{Target: key(Unescape(rr.Mx)), Preference: rr.Preference}
	case *dns.PTR:
		return resolver.RR{Target: key(Unescape(rr.Ptr))}
	case *dns.CNAME:
		return resolver.RR{Target: key(Unescape(rr.Target))}
	case *dns.NS:
		return resolver.RR{Target: key(Unescape(rr.Ns))}
	}
	return resolver.RR{Data: rdata(rr)}
}

func convertText(parts []string) resolver.RR {
	rr := resolver.RR{Strings: make([]int, len(parts))}
	for i, p := range parts {
		p = Unescape(p)
		rr.Strings[i] = len(p)
		rr.Text += p
	}
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

// Lookup implements resolver.Resolver.
func (z *Zone) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if err := ctx.Err(); err != nil {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(err), Err: err}
	}
	a, kind := z.answer(name, t)
	if kind != "" {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: kind}
	}
	return a, nil
}

// Peek implements resolver.Peeker: every answer is known at once, a fault is none.
func (z *Zone) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	a, kind := z.answer(name, t)
	return a, kind == ""
}

func (z *Zone) answer(name string, t resolver.Type) (resolver.Answer, resolver.Kind) {
	if !resolver.ValidName(name) {
		return resolver.Answer{NXDomain: true}, ""
	}
	name = key(name)
	a := resolver.Answer{Canonical: name, TTL: negativeTTL, Security: resolver.Insecure}
	secure, chained := true, false
	for range maxChain {
		if kind := z.fault(name, t); kind != "" {
			return resolver.Answer{}, kind
		}
		secure = secure && z.secure[name]
		sets, exists := z.find(name)
		if cname := sets[resolver.CNAME]; cname != nil && t != resolver.CNAME {
			if !chained {
				a.TTL = cname.ttl
			}
			a.TTL = min(a.TTL, cname.ttl)
			name, chained = cname.records[0].Target, true
			continue
		}
		return z.finish(a, sets[t], name, exists, secure, chained), ""
	}
	return resolver.Answer{}, resolver.ServFail
}

func (z *Zone) finish(a resolver.Answer, set *rrset, name string, exists, secure, chained bool) resolver.Answer {
	a.Canonical, a.NXDomain = name, !exists
	if secure {
		a.Security = resolver.Secure
	}
	if set == nil {
		return a
	}
	a.Records = set.records
	if !chained {
		a.TTL = set.ttl
	}
	a.TTL = min(a.TTL, set.ttl)
	return a
}

func (z *Zone) fault(name string, t resolver.Type) resolver.Kind {
	if kind := z.faults[name+" "+t.String()]; kind != "" {
		return kind
	}
	return z.faults[name+" ANY"]
}

// find returns the records of name, or those of the closest wildcard (RFC 4592 §3.3).
func (z *Zone) find(name string) (sets map[resolver.Type]*rrset, exists bool) {
	if z.exists[name] {
		return z.names[name], true
	}
	for parent := name; parent != ""; {
		_, parent, _ = strings.Cut(parent, ".")
		if sets, ok := z.names["*."+parent]; ok {
			return sets, true
		}
		if z.exists[parent] {
			break
		}
	}
	return nil, false
}
