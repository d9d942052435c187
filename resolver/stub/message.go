package stub

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

const (
	ednsSize  = 1232 // what passes every path unfragmented (RFC 9715 §3.2)
	maxChain  = 16   // CNAMEs of one answer
	headerLen = 12   // RFC 1035 §4.1.1
)

// question is what the caller asks: a name in lower case without trailing dot.
type question struct {
	name string
	t    resolver.Type
}

func newQuestion(name string, t resolver.Type) question {
	if n := len(name); name[n-1] == '.' {
		name = name[:n-1]
	}
	return question{dnswire.Lower(name), t}
}

// query is a question as sent.
type query struct {
	data  []byte
	end   int  // of the question in data
	exact bool // the case of the name must come back (draft-vixie-dnsext-dns0x20)
}

// pack makes the message with a fresh random ID. AD asks for the AD bit in the answer
// without the signatures that DO would bring (RFC 6840 §5.7).
func (q question) pack(edns, use0x20 bool) (query, error) {
	var random [34]byte
	rand.Read(random[:])
	name := q.name
	if use0x20 {
		name = mixCase(name, random[2:])
	}
	m := dns.Msg{Question: []dns.Question{{Name: dnswire.Escape(name), Qtype: uint16(q.t), Qclass: dns.ClassINET}}}
	m.Id = binary.BigEndian.Uint16(random[:])
	m.RecursionDesired, m.AuthenticatedData = true, true
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	data, err := m.Pack()
	// A name on the wire has a length octet for each dot, one more at its begin, and the root.
	return query{data: data, end: headerLen + len(name) + 2 + 4, exact: use0x20}, err
}

// mixCase flips letters of name by the bits of random, which has one for each octet.
func mixCase(name string, random []byte) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && random[i/8]>>(i%8)&1 == 1 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// match tells what a message is to a query.
type match int

const (
	foreign  match = iota // not an answer to it: not seen
	doubtful              // an answer, but for the case of the name
	genuine
)

// match compares ID, direction, opcode and question (RFC 5452 §9.1). An error about the
// form of the query may come without the question.
func (q query) match(m []byte) match {
	const response, opcode = 0x80, 0x78
	if len(m) < headerLen || m[0] != q.data[0] || m[1] != q.data[1] || m[2]&response == 0 || m[2]&opcode != 0 {
		return foreign
	}
	switch count := binary.BigEndian.Uint16(m[4:]); {
	case count == 0 && (rcode(m) == dns.RcodeFormatError || rcode(m) == dns.RcodeNotImplemented):
		return genuine
	case count != 1 || len(m) < q.end:
		return foreign
	}
	same := true
	for i := headerLen; i < q.end; i++ {
		if a, b := m[i], q.data[i]; a != b {
			same = false
			if i >= q.end-4 || lower(a) != lower(b) {
				return foreign
			}
		}
	}
	if q.exact && !same {
		return doubtful
	}
	return genuine
}

func rcode(m []byte) int { return int(m[3] & 15) }

func truncated(m []byte) bool { return m[2]&2 != 0 }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// errNoEDNS is the failure of a server that does not know EDNS (RFC 6891 §7).
var errNoEDNS = &failure{kind: resolver.Malformed, err: errors.New("the server refuses EDNS")}

func (s *server) malformed(err error) *failure {
	return &failure{kind: resolver.Malformed, err: atServer(s, err)}
}

// read takes the answer to q out of a message that matched, and leaves a alone when there is none.
// Should the parser panic, the message is malformed.
func (s *server) read(q question, data []byte, a *resolver.Answer) (fail *failure) {
	defer func() {
		if p := recover(); p != nil {
			fail = s.malformed(fmt.Errorf("panic: %v", p))
		}
	}()
	var m dns.Msg
	if err := m.Unpack(data); err != nil {
		return s.malformed(err)
	}
	if !whole(&m, data) {
		return s.malformed(errors.New("the message has fewer records than it says"))
	}
	if fail := s.refusal(&m); fail != nil {
		return fail
	}
	return s.accept(&m, q, a)
}

// accept takes the answer to q out of a message without an error.
func (s *server) accept(m *dns.Msg, q question, a *resolver.Answer) *failure {
	found, err := answer(m, q)
	if err != nil {
		return &failure{kind: resolver.ServFail, err: atServer(s, err)}
	}
	if s.trusted {
		found.Security = resolver.Insecure
		if m.AuthenticatedData {
			found.Security = resolver.Secure
		}
	}
	*a = found
	return nil
}

// whole reports whether m has every record that the header of data counts (RFC 1035
// §4.1.1). The parser takes a message that ends between two records for a complete one, and
// what is cut off would be read as absent.
func whole(m *dns.Msg, data []byte) bool {
	return len(m.Answer) == int(binary.BigEndian.Uint16(data[6:])) && len(m.Ns) == int(binary.BigEndian.Uint16(data[8:])) &&
		len(m.Extra) == int(binary.BigEndian.Uint16(data[10:]))
}

// refusal is the failure that a response code stands for.
func (s *server) refusal(m *dns.Msg) *failure {
	fail := &failure{kind: resolver.ServFail, ede: extendedError(m)}
	opt := m.IsEdns0()
	switch code := m.Rcode; code {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return nil
	case dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers:
		if opt == nil || code == dns.RcodeBadVers {
			return errNoEDNS
		}
		fail.err = atServer(s, errors.New(dns.RcodeToString[code]))
	case dns.RcodeServerFailure:
		if validation(fail.ede) {
			fail.kind = resolver.Bogus
		}
		fail.err = atServer(s, nil)
	case dns.RcodeRefused:
		fail.kind, fail.err = resolver.Refused, atServer(s, nil)
	default:
		fail.err = atServer(s, fmt.Errorf("response code %d", code))
	}
	return fail
}

// validation reports whether an extended error says that DNSSEC validation failed (RFC
// 8914 §4.7 to §4.13).
func validation(ede uint16) bool {
	return dns.ExtendedErrorCodeDNSBogus <= ede && ede <= dns.ExtendedErrorCodeNSECMissing
}

func extendedError(m *dns.Msg) uint16 {
	opt := m.IsEdns0()
	if opt == nil {
		return 0
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			return e.InfoCode
		}
	}
	return 0
}

// answer follows the CNAMEs of m from the question and takes the records at the end of
// the chain. Records of other owners are not seen (RFC 2181 §5.4.1).
func answer(m *dns.Msg, q question) (resolver.Answer, error) {
	owner := dnswire.Escape(q.name)
	owner, ttl, err := chain(m.Answer, owner, q.t)
	if err != nil {
		return resolver.Answer{}, err
	}
	a := resolver.Answer{Canonical: dnswire.Name(owner), NXDomain: m.Rcode == dns.RcodeNameError}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype == uint16(q.t) && h.Class == dns.ClassINET && sameOwner(h.Name, owner) {
			a.Records = append(a.Records, resolver.RR(dnswire.Convert(rr)))
			ttl = min(ttl, lifetime(h.Ttl))
		}
	}
	switch {
	case len(a.Records) == 0:
		negative, err := negativeTTL(m, a.Canonical, a.NXDomain)
		a.TTL = min(ttl, negative)
		return a, err
	case a.NXDomain:
		return a, errors.New("NXDOMAIN with records")
	}
	a.TTL = ttl
	return a, nil
}

// chain follows CNAMEs from owner, which is in the form of miekg/dns, to their end.
func chain(rrs []dns.RR, owner string, t resolver.Type) (end string, ttl time.Duration, err error) {
	ttl = maxTTL
	if t == resolver.CNAME {
		return owner, ttl, nil
	}
	for range maxChain + 1 {
		alias := findAlias(rrs, owner)
		if alias == nil {
			return owner, ttl, nil
		}
		owner, ttl = alias.Target, min(ttl, lifetime(alias.Hdr.Ttl))
	}
	return owner, ttl, errors.New("CNAME chain does not end")
}

func findAlias(rrs []dns.RR, owner string) *dns.CNAME {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && sameOwner(c.Hdr.Name, owner) {
			return c
		}
	}
	return nil
}

// sameOwner compares names in presentation form, which may differ in escapes.
func sameOwner(a, b string) bool {
	return a == b || dnswire.Name(a) == dnswire.Name(b)
}

// maxTTL is the largest TTL there is (RFC 2181 §8).
const maxTTL = (1<<31 - 1) * time.Second

// lifetime is a TTL; one with the highest bit set is zero (RFC 2181 §8).
func lifetime(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// negativeTTL is how long the absence of records holds: the lesser of the SOA's TTL and
// its minimum (RFC 2308 §5), nothing without an SOA. Name servers instead of an SOA are a
// referral, which says nothing about the name (RFC 2308 §2.2).
func negativeTTL(m *dns.Msg, name string, nxdomain bool) (time.Duration, error) {
	referral := false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			if within(name, dnswire.Name(rr.Hdr.Name)) {
				return min(lifetime(rr.Hdr.Ttl), lifetime(rr.Minttl)), nil
			}
		case *dns.NS:
			referral = true
		}
	}
	if !nxdomain && (referral || len(m.Answer) > 0) && !m.RecursionAvailable {
		return 0, errors.New("a referral: the server is not recursive")
	}
	return 0, nil
}

// within reports whether name is zone or below it.
func within(name, zone string) bool {
	n := len(name) - len(zone)
	return zone == "" || n == 0 && name == zone || n > 0 && name[n:] == zone && name[n-1] == '.'
}
