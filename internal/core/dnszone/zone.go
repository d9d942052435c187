// Package dnszone answers DNS questions from zone text: in memory, as a
// resolver.Resolver, or as a real server on loopback, with faults.
//
// Zone text is RFC 1035 master format with $ORIGIN and $TTL, plus comment lines that
// make faults: "; FAULT <name> <TYPE|ANY> SERVFAIL|TIMEOUT|REFUSED|BOGUS", and "; SECURE
// <name>", which marks the answers of a name as DNSSEC-validated. A name that no zone
// holds is NXDOMAIN.
//
// Text with a line "; RECORDED" contains recorded answers, not a zone: a query that it does not
// answer fails with resolver.Missing. "; NODATA <name> <TYPE> <seconds>" and "; NXDOMAIN <name>
// <seconds>" are answers without records; "; STALE <name> <TYPE>" marks one that was used after
// its TTL expired.
package dnszone

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// maxChain bounds the CNAMEs of one answer.
const maxChain = 10

// negativeTTL is that of a zone without SOA.
const negativeTTL = 60 * time.Second

// Zone answers from zone text alone. It does not change and is safe for concurrent use.
type Zone struct {
	names  map[string]map[resolver.Type]*rrset
	exists map[string]bool // names with records, and the empty non-terminals above them
	faults map[string]resolver.Kind
	secure map[string]bool

	apexOnce sync.Once
	zones    []string // made by apexes

	dnames     bool // there are DNAME records
	wildFaults bool // some of faults are for everything below a name

	recorded bool                     // answers and no zone: what is not there is not known
	nodata   map[string]time.Duration // "name TYPE" to the TTL
	nxdomain map[string]time.Duration
	stale    map[string]bool // "name TYPE"
}

type rrset struct {
	records []resolver.RR
	ttl     time.Duration
	raw     []dns.RR
}

// SyntaxError is a line that is not zone text.
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
	return &Zone{names: map[string]map[resolver.Type]*rrset{}, exists: map[string]bool{}, faults: map[string]resolver.Kind{}, secure: map[string]bool{},
		nodata: map[string]time.Duration{}, nxdomain: map[string]time.Duration{}, stale: map[string]bool{}}
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
	origin := "."
	for i, line := range strings.Split(text, "\n") {
		if words := strings.Fields(line); len(words) > 1 && strings.EqualFold(words[0], "$ORIGIN") {
			origin = absolute(words[1], origin)
		}
		if err := z.directive(line, origin); err != "" {
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

func (z *Zone) add(rr dns.RR) {
	name := dnswire.Name(rr.Header().Name)
	if z.names[name] == nil {
		z.names[name] = map[resolver.Type]*rrset{}
	}
	t := resolver.Type(rr.Header().Rrtype)
	z.dnames = z.dnames || rr.Header().Rrtype == dns.TypeDNAME
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
func Convert(rr dns.RR) resolver.RR { return resolver.RR(dnswire.Convert(rr)) }

// Lookup implements resolver.Resolver.
func (z *Zone) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if err := ctx.Err(); err != nil {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(err), Err: err}
	}
	a, kind := z.answer(name, t)
	if kind != "" {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: kind, EDE: extendedError(kind)}
	}
	return a, nil
}

// extendedError is the extended error that a validating server adds to a failure (RFC 8914 §4).
func extendedError(kind resolver.Kind) uint16 {
	if kind == resolver.Bogus {
		return dns.ExtendedErrorCodeDNSBogus
	}
	return 0
}

// Peek implements middleware.Peeker: every answer is available at once, except a fault.
func (z *Zone) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	a, kind := z.answer(name, t)
	return a, kind == ""
}

func (z *Zone) answer(name string, t resolver.Type) (resolver.Answer, resolver.Kind) {
	if !dnsdata.ValidName(name) {
		return resolver.Answer{NXDomain: true}, ""
	}
	p := z.walk(dnswire.Lower(strings.TrimSuffix(name, ".")), t)
	if z.recorded && p.fault == "" && p.set == nil {
		return z.absence(p, t)
	}
	if p.fault != "" {
		return resolver.Answer{}, p.fault
	}
	a := resolver.Answer{Canonical: p.end, NXDomain: !p.exists, TTL: negativeTTL, Security: resolver.Insecure}
	if p.secure {
		a.Security = resolver.Secure
	}
	a.Stale = len(z.stale) > 0 && z.stale[key(name)+" "+t.String()]
	if p.set != nil {
		a.Records, a.TTL = p.set.records, p.set.ttl
	} else if soa := z.soa(p.end); soa != nil {
		a.TTL = time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
	}
	for _, alias := range p.aliases {
		a.TTL = min(a.TTL, alias.set.ttl)
	}
	return a, ""
}

// absence is a recorded answer without records.
func (z *Zone) absence(p path, t resolver.Type) (resolver.Answer, resolver.Kind) {
	a := resolver.Answer{Canonical: p.end, Security: resolver.Insecure}
	if p.secure {
		a.Security = resolver.Secure
	}
	var known bool
	if a.TTL, a.NXDomain = z.nxdomain[p.end]; !a.NXDomain {
		a.TTL, known = z.nodata[p.end+" "+t.String()]
	}
	if !a.NXDomain && !known {
		return resolver.Answer{}, resolver.Missing
	}
	for _, alias := range p.aliases {
		a.TTL = min(a.TTL, alias.set.ttl)
	}
	return a, ""
}

// path is the way from a question to its answer.
type path struct {
	aliases []alias
	end     string // the name that the aliases lead to
	set     *rrset // nil when there are no records
	exists  bool   // end exists
	secure  bool   // every name on the way is
	fault   resolver.Kind
}

type alias struct {
	owner string
	set   *rrset
}

// walk follows the CNAMEs from name. A chain without end is a failure of the server.
func (z *Zone) walk(name string, t resolver.Type) path {
	p := path{end: name, secure: true}
	for range maxChain {
		if p.fault = z.fault(p.end, t); p.fault != "" {
			return p
		}
		p.secure = p.secure && z.secure[p.end]
		sets, exists := z.find(p.end)
		cname := sets[resolver.CNAME]
		if z.dnames {
			if dname := z.dname(p.end); dname != nil {
				cname = dname
			}
		}
		if cname == nil || t == resolver.CNAME {
			p.set, p.exists = sets[t], exists
			return p
		}
		p.aliases = append(p.aliases, alias{p.end, cname})
		p.end = cname.records[0].Target
	}
	p.fault = resolver.ServFail
	return p
}

// soa is the SOA record of the closest zone at or above name, nil without any.
func (z *Zone) soa(name string) *dns.SOA {
	for {
		if set := z.names[name][resolver.SOA]; set != nil {
			soa, _ := set.raw[0].(*dns.SOA)
			return soa
		}
		if name == "" {
			return nil
		}
		_, name, _ = strings.Cut(name, ".")
	}
}

func (z *Zone) fault(name string, t resolver.Type) resolver.Kind {
	if kind := z.faults[name+" "+t.String()]; kind != "" {
		return kind
	}
	if kind := z.faults[name+" ANY"]; kind != "" || !z.wildFaults || strings.HasPrefix(name, "*.") {
		return kind
	}
	for parent := name; parent != ""; {
		_, parent, _ = strings.Cut(parent, ".")
		if kind := z.fault("*."+parent, t); kind != "" {
			return kind
		}
	}
	return ""
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
