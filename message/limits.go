package message

import (
	"cmp"
	"strconv"
)

// Reason says why a header section is over a limit or has no usable Author Domain.
// The set is closed: texts may change, reasons may not.
type Reason string

// Reasons of LimitError and of Author.
const (
	HeaderTooLarge Reason = "message.HeaderTooLarge" // more octets in the header section than Limits.HeaderBytes
	TooManyFields  Reason = "message.TooManyFields"  // more header fields than Limits.Fields
	FieldTooLarge  Reason = "message.FieldTooLarge"  // a field longer than Limits.FieldBytes
	NoFrom         Reason = "message.NoFrom"         // no From field (RFC 5322 §3.6 asks for one)
	MultipleFrom   Reason = "message.MultipleFrom"   // more than one From field (RFC 9989 §11.5)
	MalformedFrom  Reason = "message.MalformedFrom"  // From names no domain, or one that readers could complete in different ways
	NoDomain       Reason = "message.NoDomain"       // no author has a domain name, or one has a domain literal: empty group, bare local part
	TooManyDomains Reason = "message.TooManyDomains" // more than MaxDomains distinct domains, or more than MaxMailboxes mailboxes
	BareLineEnd    Reason = "message.BareLineEnd"    // a CR or LF in the header section that is part of no fold
)

// Reasons returns every Reason of the package.
func Reasons() []Reason {
	return []Reason{HeaderTooLarge, TooManyFields, FieldTooLarge,
		NoFrom, MultipleFrom, MalformedFrom, NoDomain, TooManyDomains, BareLineEnd}
}

// Defaults of Limits. DefaultFieldBytes is header_size_limit of Postfix: what the mail server
// takes is not refused here.
const (
	DefaultHeaderBytes = 512 << 10
	DefaultFields      = 2000
	DefaultFieldBytes  = 102400
)

// Limits bound the header section (RFC 5322 §2.1.1 bounds lines only), and with it the memory for a message: the body is
// never kept. A zero or negative field takes its default.
type Limits struct {
	HeaderBytes int // octets of all fields with the CRLF that ends each
	Fields      int // number of fields
	FieldBytes  int // octets of one field with its folds, without the CRLF that ends it
}

func (l Limits) orDefault() Limits {
	return Limits{
		HeaderBytes: cmp.Or(max(l.HeaderBytes, 0), DefaultHeaderBytes),
		Fields:      cmp.Or(max(l.Fields, 0), DefaultFields),
		FieldBytes:  cmp.Or(max(l.FieldBytes, 0), DefaultFieldBytes),
	}
}

// room returns the octets, CRLF included, that one more field may have after used octets, and
// the reason that holds for a longer one.
func (l Limits) room(used int) (octets int, over Reason) {
	if left := l.HeaderBytes - used; left < l.FieldBytes+2 {
		return left, HeaderTooLarge
	}
	return l.FieldBytes + 2, FieldTooLarge
}

// Check returns why h may not take f, or "" when it may. It decides as a Splitter with
// the same limits does, for those who get their fields one by one.
func (l Limits) Check(h *Header, f Field) Reason {
	l = l.orDefault()
	if h.Len() >= l.Fields {
		return TooManyFields
	}
	if octets, over := l.room(h.Size() + 2*h.Len()); len(f.Raw)+2 > octets {
		return over
	}
	return ""
}

func (l Limits) exceeded(r Reason) *LimitError {
	switch r {
	case TooManyFields:
		return &LimitError{r, l.Fields}
	case FieldTooLarge:
		return &LimitError{r, l.FieldBytes}
	}
	return &LimitError{r, l.HeaderBytes}
}

// LimitError reports a header section that is over a limit. What a Sink has got by
// then is the fields before the one at fault.
type LimitError struct {
	Reason Reason
	limit  int
}

// Error names the reason and the limit.
func (e *LimitError) Error() string {
	return string(e.Reason) + ": limit is " + strconv.Itoa(e.limit)
}
