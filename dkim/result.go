package dkim

import (
	"slices"
	"time"
)

// Code is a result word of RFC 8601 §2.7.1.
type Code string

// The result words. Only Pass gives an identifier to DMARC. Policy is a signature that
// verified, or would have, and that a local rule does not accept.
const (
	None      Code = "none"
	Pass      Code = "pass"
	Fail      Code = "fail"
	Policy    Code = "policy"
	Neutral   Code = "neutral"
	TempError Code = "temperror"
	PermError Code = "permerror"
)

// Reason says why a Result is what it is. The set is closed: texts may change, reasons
// may not.
type Reason string

// The reasons of a Result.
const (
	Valid              Reason = "dkim.Valid"
	BodyHashMismatch   Reason = "dkim.BodyHashMismatch"   // the body changed after signing (RFC 6376 §6.1.3)
	SignatureMismatch  Reason = "dkim.SignatureMismatch"  // a signed header field changed, or the key is another (§6.1.3)
	LimitBeyondBody    Reason = "dkim.LimitBeyondBody"    // l= is more than the body has (§3.5)
	Malformed          Reason = "dkim.Malformed"          // no tag-list, or a tag with no valid value (§3.2, §3.5)
	MissingTag         Reason = "dkim.MissingTag"         // a required tag is not there (§3.5)
	UnknownVersion     Reason = "dkim.UnknownVersion"     // v= is not 1 (§6.1.1)
	AlgorithmUnknown   Reason = "dkim.AlgorithmUnknown"   // a= is not an algorithm known here (§3.3)
	AlgorithmForbidden Reason = "dkim.AlgorithmForbidden" // rsa-sha1 must not verify (RFC 8301 §3.1)
	CanonicalUnknown   Reason = "dkim.CanonicalUnknown"   // c= is not a canonicalization known here (§3.4)
	QueryUnknown       Reason = "dkim.QueryUnknown"       // q= has no method known here (§3.5)
	FromNotSigned      Reason = "dkim.FromNotSigned"      // h= does not name From (§5.4)
	IdentityMismatch   Reason = "dkim.IdentityMismatch"   // i= is not d= or below it (§3.5)
	Expired            Reason = "dkim.Expired"            // x= has expired (§3.5)
	InFuture           Reason = "dkim.InFuture"           // t= is more than an hour ahead (§3.5)
	KeyUnavailable     Reason = "dkim.KeyUnavailable"     // the lookup of the key failed (§6.1.2)
	BudgetSpent        Reason = "dkim.BudgetSpent"        // the keys of the message ask more of the DNS than is spent on one message
	KeyMissing         Reason = "dkim.KeyMissing"         // there is no key record (§6.1.2)
	KeyMalformed       Reason = "dkim.KeyMalformed"       // the record is not a key (§3.6.1)
	KeyRevoked         Reason = "dkim.KeyRevoked"         // p= is empty (§3.6.1)
	KeyTypeMismatch    Reason = "dkim.KeyTypeMismatch"    // k= is not the type of a= (§6.1.2)
	KeyHashForbidden   Reason = "dkim.KeyHashForbidden"   // h= of the key does not allow sha256 (§3.6.1)
	KeyNotForEmail     Reason = "dkim.KeyNotForEmail"     // s= of the key is another service (§3.6.1)
	KeyStrictIdentity  Reason = "dkim.KeyStrictIdentity"  // t=s, and i= is a subdomain (§3.6.1)
	KeyTooShort        Reason = "dkim.KeyTooShort"        // less than 1024 bits (RFC 8301 §3.2)
	KeyTooLong         Reason = "dkim.KeyTooLong"         // more than Limits.KeyBits
	KeyTooCostly       Reason = "dkim.KeyTooCostly"       // the keys of the message are beyond Limits.KeyWork
	BodyNotCovered     Reason = "dkim.BodyNotCovered"     // l= leaves part of the body unsigned (§8.2)
	PublicSuffix       Reason = "dkim.PublicSuffix"       // d= is a public suffix (§6.1.1, §8.14)
	TooManySignatures  Reason = "dkim.TooManySignatures"  // beyond Limits.Signatures (§6.1)
	TooManyFields      Reason = "dkim.TooManyFields"      // h= names more than Limits.SignedFields
	InternalError      Reason = "dkim.InternalError"      // a bug in postseal
)

var reasons = [...]Reason{Valid, BodyHashMismatch, SignatureMismatch, LimitBeyondBody, Malformed, MissingTag, UnknownVersion,
	AlgorithmUnknown, AlgorithmForbidden, CanonicalUnknown, QueryUnknown, FromNotSigned, IdentityMismatch, Expired, InFuture,
	KeyUnavailable, BudgetSpent, KeyMissing, KeyMalformed, KeyRevoked, KeyTypeMismatch, KeyHashForbidden, KeyNotForEmail, KeyStrictIdentity,
	KeyTooShort, KeyTooLong, KeyTooCostly, BodyNotCovered, PublicSuffix, TooManySignatures, TooManyFields, InternalError}

// Reasons lists every Reason.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

// Result is the outcome for one DKIM-Signature field. What could not be read stays
// empty.
type Result struct {
	Code             Code
	Reason           Reason
	Domain           string // d=, the SDID, as A-labels
	Selector         string // s=
	AUID             string // i=, "@" and d= by default
	Algorithm        string // a=
	KeyBits          int    // 0 while the key is not known
	Canonicalization string // header/body
	SignedFields     []string
	BodyLength       int64 // l=, -1 without one
	CoveredAll       bool  // the whole body is signed
	TestMode         bool  // t=y of the key
	Timestamp        time.Time
	Expiration       time.Time
	B                string    // the first octets of b=, enough to tell the signatures apart (RFC 6008 §4)
	Problem          string    // what went wrong, for a person; outside text in it is quoted
	FieldIndex       int       // of the field in the header section, from 0 at the top
	Diagnosis        Diagnosis // why it broke, if requested: see Verifier.Diagnose
}

// Name returns "d=example.com s=selector" for people: only what the field says, and "unreadable
// field" where it says neither.
func (s *Result) Name() string {
	switch {
	case s.Domain == "" && s.Selector == "":
		return "unreadable field"
	case s.Domain == "":
		return "s=" + s.Selector
	case s.Selector == "":
		return "d=" + s.Domain
	}
	return "d=" + s.Domain + " s=" + s.Selector
}
