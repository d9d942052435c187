package message

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"postseal/internal/core/domain"
)

// MaxDomains bounds the distinct Author Domains of a message (RFC 9989 §11.5 asks for
// a cap).
const MaxDomains = 4

// Author is who a message says that it comes from (RFC 5322 §3.6.2): the input of
// DMARC. With a Reason other than "" no verdict may be built on it. Domains is then nil, but
// for TooManyDomains, where it holds the first MaxDomains.
type Author struct {
	Domains   []domain.Name // Author Domains (RFC 9989 §3.2.2), each once, in their order
	Addresses []string      // addresses of the From fields, as far as they were understood
	Reason    Reason
}

// FindAuthor extracts the Author Domains of a header section (RFC 9989 §5.3.1). The
// Sender field and all others play no part (RFC 9989 A.3). It fails safe: a header
// section that another reader could see another author in has none. That is the case
// for several From fields, a From field that ParseMailboxes refuses, and a bare CR or
// LF in any field.
func FindAuthor(h *Header) Author {
	var s authorSearch
	for i := range h.Len() {
		f := h.At(i)
		s.bare = s.bare || hasBareLineEnd(f.Raw)
		if f.Is("From") {
			s.field(f.Value())
		}
		if s.froms > 1 { // enough is known; the work stays bounded by two fields
			break
		}
	}
	a := s.author
	a.Reason = s.reason()
	if a.Reason != "" && a.Reason != TooManyDomains {
		a.Domains = nil
	}
	return a
}

// authorSearch collects what FindAuthor decides on.
type authorSearch struct {
	author    Author
	froms     int
	bare      bool // a bare line end somewhere
	malformed bool
	tooMany   bool
	homeless  bool // an address without a domain name, or no address
}

func (s *authorSearch) field(value []byte) {
	s.froms++
	p := addressParser{in: value}
	err := p.list(func(m Mailbox) {
		s.tooMany = !s.author.add(m) || s.tooMany
		s.homeless = s.homeless || m.Domain == ""
	})
	s.homeless = s.homeless || p.count == 0
	switch {
	case err == nil:
	case p.err.Msg == tooManyMailboxes:
		s.tooMany = true
	default:
		s.malformed = true
	}
}

func (s *authorSearch) reason() Reason {
	switch {
	case s.bare:
		return BareLineEnd
	case s.froms == 0:
		return NoFrom
	case s.froms > 1:
		return MultipleFrom
	case s.malformed:
		return MalformedFrom
	case s.tooMany:
		return TooManyDomains
	case s.homeless:
		return NoDomain
	}
	return ""
}

// add notes a mailbox and reports whether its domain has room.
func (a *Author) add(m Mailbox) bool {
	if a.Addresses == nil {
		var one struct { // most messages have one author
			addresses [1]string
			domains   [1]domain.Name
		}
		a.Addresses, a.Domains = one.addresses[:0], one.domains[:0]
	}
	if len(a.Addresses) < MaxMailboxes {
		a.Addresses = append(a.Addresses, printable(m.Address()))
	}
	if m.Domain == "" || slices.Contains(a.Domains, m.Domain) {
		return true
	}
	if len(a.Domains) == MaxDomains {
		return false
	}
	a.Domains = append(a.Domains, m.Domain)
	return true
}

// printable replaces each control character by "?".
func printable(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// hasBareLineEnd reports whether raw, a field without its final CRLF, has a CR or LF
// that is not part of a fold (RFC 5322 §2.2.3). After such an octet a lenient reader
// sees a new field, or the body: the smuggling of CVE-2023-51764.
func hasBareLineEnd(raw []byte) bool {
	for {
		lf := bytes.IndexByte(raw, '\n')
		if lf < 0 {
			return bytes.IndexByte(raw, '\r') >= 0
		}
		if bytes.IndexByte(raw[:lf], '\r') != lf-1 || lf == 0 || lf+1 == len(raw) || !isWSP(raw[lf+1]) {
			return true
		}
		raw = raw[lf+1:]
	}
}
