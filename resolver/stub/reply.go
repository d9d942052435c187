package stub

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// errWire is the error for a message that breaks the format of RFC 1035 §4.
var errWire = errors.New("the message is malformed")

// reply is a message that came. Records are found when it is parsed, and their data is decoded if it is
// asked for: most of what a name server sends with an absence is not. With the codec of miekg/dns, which
// decodes everything, a bulk audit took 6 % more CPU time.
type reply struct {
	data      []byte
	rcode     int  // with the upper bits of EDNS
	edns      bool // it has an OPT record
	ede       uint16
	answer    []record
	authority []record
}

// record is a resource record of a reply.
type record struct {
	owner      string // as resolver.RR has names
	t          resolver.Type
	class      uint16
	ttl        uint32
	at         int // where it begins
	start, end int // of its data
}

func (m *reply) authentic() bool { return m.data[3]&(1<<5) != 0 }
func (m *reply) recursive() bool { return m.data[3]&(1<<7) != 0 }

// parseReply finds the records of a message, which must be as many as its header says: what is cut off
// would be read as absent. known is a name that is likely to own them.
func parseReply(data []byte, known string) (m reply, err error) {
	if len(data) < headerLen {
		return m, errWire
	}
	m.data, m.rcode = data, rcode(data)
	off := headerLen
	var buf [maxName]byte
	for range binary.BigEndian.Uint16(data[4:]) {
		if _, off, err = readName(data, off, buf[:0]); err != nil {
			return m, err
		}
		off += 4 // type and class
	}
	answers, authorities := int(binary.BigEndian.Uint16(data[6:])), int(binary.BigEndian.Uint16(data[8:]))
	n := answers + authorities + int(binary.BigEndian.Uint16(data[10:]))
	records := make([]record, 0, min(n, 8))
	for range n {
		r, err := readRecord(data, off, known)
		if err != nil {
			return m, err
		}
		off = r.end
		records = append(records, r)
	}
	m.answer, m.authority = records[:answers], records[answers:answers+authorities]
	for _, r := range records[answers+authorities:] {
		if uint16(r.t) != dns.TypeOPT {
			continue
		}
		if err := m.options(&r); err != nil {
			return m, err
		}
	}
	return m, nil
}

// readRecord reads the record at off, but not its data (RFC 1035 §4.1.3).
func readRecord(data []byte, off int, known string) (record, error) {
	const fixed = 10 // octets between owner and data
	var buf [maxName]byte
	owner, start, err := readName(data, off, buf[:0])
	if err != nil || start+fixed > len(data) {
		return record{}, errWire
	}
	r := record{owner: known, t: resolver.Type(binary.BigEndian.Uint16(data[start:])), class: binary.BigEndian.Uint16(data[start+2:]),
		ttl: binary.BigEndian.Uint32(data[start+4:]), at: off, start: start + fixed}
	if string(owner) != known {
		r.owner = string(owner)
	}
	r.end = r.start + int(binary.BigEndian.Uint16(data[start+8:]))
	if r.end > len(data) {
		return record{}, errWire
	}
	return r, nil
}

const (
	maxName     = 253 // octets of a name as resolver.RR has it
	maxPointers = 126 // of one name: more than it has labels
)

// readName appends the name at off to buf, as resolver.RR has names, and returns where what comes next
// begins. Compression may point anywhere, but not for ever (RFC 1035 §4.1.4).
func readName(data []byte, off int, buf []byte) (name []byte, next int, err error) {
	pointers := 0
	for off < len(data) {
		n := int(data[off])
		off++
		switch n & 0xc0 {
		case 0:
			if n == 0 && pointers == 0 {
				next = off
			}
			if n == 0 {
				return buf, next, nil
			}
			if len(buf) > 0 {
				buf = append(buf, '.')
			}
			if off+n > len(data) || len(buf)+n > maxName {
				return nil, 0, errWire
			}
			for _, c := range data[off : off+n] {
				buf = append(buf, lower(c))
			}
			off += n
		case 0xc0:
			if pointers++; off == len(data) || pointers > maxPointers {
				return nil, 0, errWire
			}
			if pointers == 1 {
				next = off + 1
			}
			off = n&0x3f<<8 | int(data[off])
		default:
			return nil, 0, errWire
		}
	}
	return nil, 0, errWire
}

// options reads an OPT record: the upper bits of the response code, and the first extended error (RFC
// 6891 §6.1.3, RFC 8914 §2).
func (m *reply) options(r *record) error {
	m.edns, m.rcode, m.ede = true, rcode(m.data)|int(r.ttl>>24)<<4, 0
	told := false
	for rest := m.data[r.start:r.end]; len(rest) > 0; {
		if len(rest) < 4 {
			return errWire
		}
		code, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; n > len(rest) || code == dns.EDNS0EDE && n < 2 {
			return errWire
		}
		if code == dns.EDNS0EDE && !told {
			m.ede, told = binary.BigEndian.Uint16(rest), true
		}
		rest = rest[n:]
	}
	return nil
}

// decode reads the data of r.
func (m *reply) decode(r *record) (rr resolver.RR, err error) {
	data := m.data[r.start:r.end]
	switch {
	case r.t == resolver.A && len(data) == 4:
		return resolver.RR{Addr: netip.AddrFrom4([4]byte(data))}, nil
	case r.t == resolver.AAAA && len(data) == 16:
		return resolver.RR{Addr: netip.AddrFrom16([16]byte(data))}, nil
	case r.t == resolver.A, r.t == resolver.AAAA, r.t == resolver.MX && len(data) < 2:
		return rr, errWire
	case r.t == resolver.TXT, r.t == resolver.SPF:
		return decodeText(data)
	case r.t == resolver.MX:
		rr.Preference = binary.BigEndian.Uint16(data)
		rr.Target, err = m.target(r, r.start+2)
		return rr, err
	case r.t == resolver.PTR, r.t == resolver.CNAME, r.t == resolver.NS:
		rr.Target, err = m.target(r, r.start)
		return rr, err
	}
	other, _, err := dns.UnpackRR(m.data, r.at)
	if err != nil {
		return rr, errWire
	}
	return resolver.RR(dnswire.Convert(other)), nil
}

// target reads the name at off, which ends the data of r.
func (m *reply) target(r *record, off int) (string, error) {
	var buf [maxName]byte
	name, next, err := readName(m.data, off, buf[:0])
	if err != nil || next != r.end {
		return "", errWire
	}
	return string(name), nil
}

// decodeText reads character-strings (RFC 1035 §3.3.14).
func decodeText(data []byte) (rr resolver.RR, err error) {
	var text strings.Builder
	text.Grow(len(data))
	for len(data) > 0 {
		n := int(data[0])
		if data = data[1:]; n > len(data) {
			return rr, errWire
		}
		rr.Strings = append(rr.Strings, n)
		text.Write(data[:n])
		data = data[n:]
	}
	rr.Text = text.String()
	return rr, nil
}

// minimum is the last field of an SOA record: how long an absence holds (RFC 2308 §4).
func (m *reply) minimum(r *record) (uint32, error) {
	var buf [maxName]byte
	_, next, err := readName(m.data, r.start, buf[:0])
	if err == nil {
		_, next, err = readName(m.data, next, buf[:0])
	}
	if err != nil || next+20 != r.end {
		return 0, errWire
	}
	return binary.BigEndian.Uint32(m.data[r.end-4:]), nil
}
