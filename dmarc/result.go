package dmarc

import "slices"

// Code is a DMARC result word (RFC 8601 §2.7, RFC 9989 §9.2).
type Code string

// The result words.
const (
	None      Code = "none"
	Pass      Code = "pass"
	Fail      Code = "fail"
	TempError Code = "temperror"
	PermError Code = "permerror"
)

// Reason says why a result is what it is. The set is closed.
type Reason string

// The reasons.
const (
	// NoAuthorDomain: there was no domain to ask about (RFC 9989 §5.3.1); permerror (§9.2).
	NoAuthorDomain Reason = "dmarc.NoAuthorDomain"
	// TooManyAuthorDomains: the domains of From that were evaluated did not fail, but
	// there are more (RFC 9989 §11.5).
	TooManyAuthorDomains Reason = "dmarc.TooManyAuthorDomains"
	// NoRecord: no DMARC Policy Record applies (RFC 9989 §4.10.1).
	NoRecord Reason = "dmarc.NoRecord"
	// UnusableRecord: the record that applies has no valid policy and no rua (RFC 9989
	// §4.10.1).
	UnusableRecord Reason = "dmarc.UnusableRecord"
	// Aligned: an Authenticated Identifier aligns (RFC 9989 §4.4).
	Aligned Reason = "dmarc.Aligned"
	// NoIdentifier: nothing was authenticated that could align.
	NoIdentifier Reason = "dmarc.NoIdentifier"
	// NotAligned: something was authenticated, and none of it aligns.
	NotAligned Reason = "dmarc.NotAligned"
	// PolicyUnknown: a failed lookup hides which policy applies (RFC 9989 §5.3.6).
	PolicyUnknown Reason = "dmarc.PolicyUnknown"
	// ExistenceUnknown: the message fails, and a failed lookup hides whether sp or np
	// applies. Policy is the weaker of both.
	ExistenceUnknown Reason = "dmarc.ExistenceUnknown"
	// IdentifierUnknown: the policy is known, but a failed lookup, or the limit on
	// identifiers, hides whether something aligns.
	IdentifierUnknown Reason = "dmarc.IdentifierUnknown"
)

var reasons = [...]Reason{NoAuthorDomain, TooManyAuthorDomains, NoRecord, UnusableRecord, Aligned, NoIdentifier, NotAligned,
	PolicyUnknown, ExistenceUnknown, IdentifierUnknown}

// Reasons returns every Reason.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

// Discovery is the way to find the Organizational Domain.
type Discovery string

// The tree walk of RFC 9989 §4.10, and the public suffix list of RFC 7489 §3.2.
const (
	TreeWalk Discovery = "treewalk"
	PSL      Discovery = "psl"
)

// Identifier is a domain that a mechanism authenticated: the MAIL FROM identity of an
// SPF pass, or d= of a verified signature (RFC 9989 §3.2.1).
type Identifier struct {
	Method  string // "spf", "dkim"; spf aligns by aspf, all others by adkim
	Domain  string
	Unknown bool // a lookup of the mechanism failed: Domain may be authenticated or not
}

// Alignment is how an identifier relates to the Author Domain.
type Alignment string

// The relations. An identifier that is authenticated and relates by AlignmentYes makes
// the message pass.
const (
	AlignmentYes     Alignment = "aligned"
	AlignmentNo      Alignment = "unaligned"
	AlignmentUnknown Alignment = "unknown"
)

// Compared is one identifier with the outcome of its comparison.
type Compared struct {
	Identifier
	OrgDomain string // when it was needed and is known
	Alignment Alignment
	Walk      []Step // when one was needed
}

// Result is the outcome for one Author Domain.
type Result struct {
	Code         Code
	Reason       Reason
	AuthorDomain string
	OrgDomain    string // empty: not known
	PolicyDomain string // where Record was found; empty without one
	Policy       Policy // effective, after sp, np and t; empty: none applies or not known
	Published    Published
	Record       string // the text of the record that applies
	Discovery    Discovery
	Guard        bool // the guard against registries without psd=y changed an Organizational Domain
	TestMode     bool // t=y lowered Policy
	NoSuchDomain bool // the Author Domain is known not to exist
	Aligned      []Identifier
	Compared     []Compared
	Queries      int    // logical queries of the walk from the Author Domain
	Walk         []Step // that walk
	Problem      string // for a person: what went wrong
}
