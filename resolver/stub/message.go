package stub

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

const (
	ednsSize  = 1232 // what passes every path unfragmented (RFC 9715 §3.2)
	maxChain  = 16   // CNAMEs of one answer
	headerLen = 12   // RFC 1035 §4.1.1
	optLen    = 11   // an OPT record without options (RFC 6891 §6.1.2)
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
func (q question) pack(edns, use0x20 bool) query {
	const rd, ad = 1, 1 << 5
	var random [34]byte
	rand.Read(random[:])
	name := q.name
	if use0x20 {
		name = mixCase(name, random[2:])
	}
	data := make([]byte, 0, headerLen+len(name)+2+4+optLen)
	data = append(data, random[0], random[1], rd, ad, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		data = append(append(data, byte(len(label))), label...)
	}
	data = append(data, 0, byte(q.t>>8), byte(q.t), 0, dns.ClassINET)
	end := len(data)
	if edns {
		data = append(data, 0, 0, byte(dns.TypeOPT), ednsSize>>8, ednsSize&0xff, 0, 0, 0, 0, 0, 0)
		data[headerLen-1] = 1 // additional records
	}
	return query{data: data, end: end, exact: use0x20}
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
	m, err := parseReply(data, q.name)
	if err != nil {
		return s.malformed(err)
	}
	if fail := s.refusal(&m); fail != nil {
		return fail
	}
	return s.accept(&m, q, a)
}

// accept takes the answer to q out of a message without an error.
func (s *server) accept(m *reply, q question, a *resolver.Answer) *failure {
	found, err := answer(m, q)
	switch {
	case errors.Is(err, errWire):
		return s.malformed(err)
	case err != nil:
		return &failure{kind: resolver.ServFail, err: atServer(s, err)}
	}
	if s.trusted {
		found.Security = resolver.Insecure
		if m.authentic() {
			found.Security = resolver.Secure
		}
	}
	*a = found
	return nil
}

// refusal is the failure that a response code stands for.
func (s *server) refusal(m *reply) *failure {
	if m.rcode == dns.RcodeSuccess || m.rcode == dns.RcodeNameError {
		return nil
	}
	fail := &failure{kind: resolver.ServFail, ede: m.ede}
	switch m.rcode {
	case dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers:
		if !m.edns || m.rcode == dns.RcodeBadVers {
			return errNoEDNS
		}
		fail.err = atServer(s, errors.New(dns.RcodeToString[m.rcode]))
	case dns.RcodeServerFailure:
		if validation(fail.ede) {
			fail.kind = resolver.Bogus
		}
		fail.err = atServer(s, nil)
	case dns.RcodeRefused:
		fail.kind, fail.err = resolver.Refused, atServer(s, nil)
	default:
		fail.err = atServer(s, fmt.Errorf("response code %d", m.rcode))
	}
	return fail
}

// validation reports whether an extended error says that DNSSEC validation failed (RFC
// 8914 §4.7 to §4.13).
func validation(ede uint16) bool {
	return dns.ExtendedErrorCodeDNSBogus <= ede && ede <= dns.ExtendedErrorCodeNSECMissing
}

// answer follows the CNAMEs of m from the question and takes the records at the end of
// the chain. Records of other owners are not seen (RFC 2181 §5.4.1).
func answer(m *reply, q question) (resolver.Answer, error) {
	owner, ttl, err := m.chain(q)
	if err != nil {
		return resolver.Answer{}, err
	}
	a := resolver.Answer{Canonical: owner, NXDomain: m.rcode == dns.RcodeNameError}
	for i := range m.answer {
		r := &m.answer[i]
		if r.t != q.t || r.class != dns.ClassINET || r.owner != owner {
			continue
		}
		rr, err := m.decode(r)
		if err != nil {
			return resolver.Answer{}, err
		}
		a.Records = append(a.Records, rr)
		ttl = min(ttl, lifetime(r.ttl))
	}
	switch {
	case len(a.Records) == 0:
		negative, err := m.negativeTTL(a.Canonical, a.NXDomain)
		a.TTL = min(ttl, negative)
		return a, err
	case a.NXDomain:
		return a, errors.New("NXDOMAIN with records")
	}
	a.TTL = ttl
	return a, nil
}

// chain follows CNAMEs from the question to their end.
func (m *reply) chain(q question) (end string, ttl time.Duration, err error) {
	end, ttl = q.name, maxTTL
	if q.t == resolver.CNAME {
		return end, ttl, nil
	}
	for range maxChain + 1 {
		alias := m.findAlias(end)
		if alias == nil {
			return end, ttl, nil
		}
		if end, err = m.target(alias, alias.start); err != nil {
			return end, ttl, err
		}
		ttl = min(ttl, lifetime(alias.ttl))
	}
	return end, ttl, errors.New("CNAME chain does not end")
}

func (m *reply) findAlias(owner string) *record {
	for i := range m.answer {
		if r := &m.answer[i]; r.t == resolver.CNAME && r.class == dns.ClassINET && r.owner == owner {
			return r
		}
	}
	return nil
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
func (m *reply) negativeTTL(name string, nxdomain bool) (time.Duration, error) {
	referral := false
	for i := range m.authority {
		switch r := &m.authority[i]; r.t {
		case resolver.SOA:
			if within(name, r.owner) {
				minimum, err := m.minimum(r)
				return min(lifetime(r.ttl), lifetime(minimum)), err
			}
		case resolver.NS:
			referral = true
		}
	}
	if !nxdomain && (referral || len(m.answer) > 0) && !m.recursive() {
		return 0, errors.New("a referral: the server is not recursive")
	}
	return 0, nil
}

// within reports whether name is zone or below it.
func within(name, zone string) bool {
	n := len(name) - len(zone)
	return zone == "" || n == 0 && name == zone || n > 0 && name[n:] == zone && name[n-1] == '.'
}
