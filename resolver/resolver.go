// Package resolver is the DNS contract of the evaluators, and a cache.
//
// An answer has four outcomes that are never mixed up: records, no record of that
// type (NODATA), no such name (NXDOMAIN), and failure with its kind. The first three
// are values, the last is an error (RFC 2308 §2, RFC 8020).
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/memo"
)

// Type is a DNS resource record type (RFC 1035 §3.2.2).
type Type uint16

// The types that evaluators and audits ask for.
const (
	A      Type = 1
	NS     Type = 2
	CNAME  Type = 5
	SOA    Type = 6
	PTR    Type = 12
	MX     Type = 15
	TXT    Type = 16
	AAAA   Type = 28
	DS     Type = 43
	DNSKEY Type = 48
	TLSA   Type = 52
	SPF    Type = 99
	CAA    Type = 257
)

var typeNames = map[Type]string{A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", MX: "MX", TXT: "TXT",
	AAAA: "AAAA", DS: "DS", DNSKEY: "DNSKEY", TLSA: "TLSA", SPF: "SPF", CAA: "CAA"}

// String returns the mnemonic, or TYPEn for a type without one (RFC 3597 §5).
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", uint16(t))
}

// Security is the DNSSEC status of an answer (RFC 4035 §4.3), as far as a trusted resolver tells it.
type Security uint8

// Indeterminate: no trusted server answered. Insecure: a trusted resolver answered without AD.
// Secure: a trusted resolver set AD (RFC 4035 §3.2.3).
const (
	Indeterminate Security = iota
	Insecure
	Secure
)

// String returns the status in lower case.
func (s Security) String() string {
	return [...]string{"indeterminate", "insecure", "secure"}[min(s, 2)]
}

// RR is the data of one resource record (RFC 1035 §3.2). Which fields are set depends on the type
// asked for.
type RR struct {
	Text       string     // TXT, SPF: the character-strings joined without spaces, raw octets
	Strings    []int      // TXT, SPF: the length of each character-string
	Addr       netip.Addr // A, AAAA
	Target     string     // MX, PTR, CNAME, NS: lower case, no trailing dot, raw octets; "" is the root
	Preference uint16     // MX
	Data       []byte     // other types: the RDATA
}

// Answer is what the DNS said (RFC 2308 §2). Records are shared between callers: read only.
type Answer struct {
	Records   []RR
	NXDomain  bool          // len(Records)==0 && !NXDomain is NODATA; neither is an error
	Canonical string        // the owner of Records after CNAMEs; the name asked for without any
	TTL       time.Duration // minimum over the chain; negative TTL from the SOA (RFC 2308 §5)
	Security  Security
	Stale     bool // its TTL has expired, and no name server answers (RFC 8767): see CacheOptions.Stale

	memoRef // what evaluators made of the records, if a Cache keeps the answer
}

// memoRef is out of what other programs see: they have no use for the forms that our evaluators parse.
type memoRef = memo.Ref

// Aliased reports whether a CNAME led to this answer. An NXDOMAIN of an aliased
// answer belongs to the target: the name that was asked for exists (RFC 6604 §3).
func (a Answer) Aliased(name string) bool {
	return a.Canonical != "" && !dnsdata.EqualFold(a.Canonical, name)
}

// Resolver answers one question. name is dotted raw octets without trailing dot, in
// any case and not escaped. A name that cannot exist (a label over 63 octets or empty,
// more than 253 in all: RFC 1035 §2.3.4) is NXDOMAIN, never an error, so that no sender can force a
// deferral. The error is an *Error, or wraps the error of ctx.
type Resolver interface {
	Lookup(ctx context.Context, name string, t Type) (Answer, error)
}

// Kind is the way in which a question failed.
type Kind string

// The kinds of failure. OverBudget: the transaction has used up its queries. Canceled: the
// caller has gone. Missing: a recording contains no answer. Down: the query was not sent,
// because no name server answers (Breaker).
const (
	Timeout    Kind = "timeout"
	ServFail   Kind = "servfail"
	Refused    Kind = "refused"
	Bogus      Kind = "bogus"
	Malformed  Kind = "malformed"
	Network    Kind = "network"
	OverBudget Kind = "budget"
	Canceled   Kind = "canceled"
	Missing    Kind = "missing"
	Down       Kind = "down"
)

// Error is a question without an answer. It is always temporary in the sense of RFC
// 7208 §2.6.6: it says nothing about the records.
type Error struct {
	Name string
	Type Type
	Kind Kind
	EDE  uint16 // extended DNS error (RFC 8914), 0 for none
	Err  error  // cause, may be nil
}

// Error says what was asked and how it failed.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %q: %s", e.Type, e.Name, e.Kind)
	if e.EDE != 0 {
		s += fmt.Sprintf(" (extended error %d)", e.EDE)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of failure that err stands for; Network for an error that
// no Resolver of this module makes.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Network
}
