package message

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"postseal/domain"
	"postseal/internal/core/address"
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
// Sender field and all others play no part (RFC 9989 A.3).
//
// A From field outside the grammar, as much honest mail has it, is read the way that mail
// programs read it: the domain of every address-like token counts, so that whichever of them
// a program shows as the author's is among the Author Domains. Several From fields, a field
// that names no domain, a domain that cannot be read, NUL, and a bare CR or LF in any field
// leave the message without an Author Domain.
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
	bare      bool // a bare line ending somewhere
	malformed bool
	tooMany   bool
	homeless  bool // an address without a domain name, or no address
}

func (s *authorSearch) field(value []byte) {
	s.froms++
	literal := false
	r := address.Scan(value, func(m address.Mailbox) {
		s.tooMany = !s.author.add(m) || s.tooMany
		s.homeless = s.homeless || m.Domain == ""
		literal = literal || m.Literal != ""
	})
	switch {
	case r.TooMany:
		s.tooMany = true
	case r.Err != nil || s.homeless && !literal || r.Brackets: // outside the grammar
		s.malformed = !s.lenient(value) || r.Err != nil && len(s.author.Domains) == 0
		s.homeless = len(s.author.Domains) == 0
	default:
		s.homeless = s.homeless || r.Count == 0
	}
}

// lenient adds the domains of every address-like token. It is false when the field cannot be
// read safely.
func (s *authorSearch) lenient(value []byte) bool {
	return address.ScanLenient(value, func(m address.Mailbox) {
		if !slices.Contains(s.author.Domains, m.Domain) {
			s.tooMany = !s.author.add(m) || s.tooMany
		}
	})
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
func (a *Author) add(m address.Mailbox) bool {
	if a.Addresses == nil {
		var one struct { // most messages have one author
			addresses [1]string
			domains   [1]domain.Name
		}
		a.Addresses, a.Domains = one.addresses[:0], one.domains[:0]
	}
	if len(a.Addresses) < address.MaxMailboxes {
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
