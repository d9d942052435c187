package spf

import (
	"slices"
	"time"
)

// Code is a result word of check_host() (RFC 7208 §2.6, RFC 8601 §2.7.2).
type Code string

// The results of RFC 7208 §2.6.
const (
	None      Code = "none"
	Pass      Code = "pass"
	Fail      Code = "fail"
	SoftFail  Code = "softfail"
	Neutral   Code = "neutral"
	TempError Code = "temperror"
	PermError Code = "permerror"
)

// Identity is the identity that is checked (RFC 7208 §2.3, §2.4). Its word is the identity
// key of Received-SPF (§9.1).
type Identity string

// The identities. MailFrom with a null reverse-path is postmaster at the HELO name.
const (
	MailFrom Identity = "mailfrom"
	Helo     Identity = "helo"
)

// Reason says why a Result is what it is. The set is closed: texts may change, reasons
// may not.
type Reason string

// The reasons of a Result and of a SyntaxError.
const (
	Match             Reason = "spf.Match"             // a mechanism matched (RFC 7208 §4.6.2)
	Default           Reason = "spf.Default"           // nothing matched (§4.7)
	NoDomain          Reason = "spf.NoDomain"          // no domain that could have a record (§4.3)
	NoRecord          Reason = "spf.NoRecord"          // no record is published (§4.5)
	MultipleRecords   Reason = "spf.MultipleRecords"   // more than one record (§4.5)
	DNSFailure        Reason = "spf.DNSFailure"        // a lookup failed (§4.4, §5)
	BudgetSpent       Reason = "spf.BudgetSpent"       // the check asks more of the DNS than is spent on one message (§11.1)
	TimeLimit         Reason = "spf.TimeLimit"         // the time limit was reached (§4.6.4)
	TooManyLookups    Reason = "spf.TooManyLookups"    // more than 10 terms with lookups (§4.6.4)
	TooManyVoids      Reason = "spf.TooManyVoids"      // more than 2 void lookups (§4.6.4)
	TooManyMX         Reason = "spf.TooManyMX"         // an mx with more than 10 names, of which the first 10 do not match (§4.6.4)
	IncludeNoRecord   Reason = "spf.IncludeNoRecord"   // the target of include has no record (§5.2)
	RedirectNoRecord  Reason = "spf.RedirectNoRecord"  // the target of redirect has no record (§6.1)
	UnknownMechanism  Reason = "spf.UnknownMechanism"  // an unknown mechanism (§4.6.1)
	BadTerm           Reason = "spf.BadTerm"           // a term that follows no rule of §4.6.1
	BadDomainSpec     Reason = "spf.BadDomainSpec"     // no domain-spec (§7.1)
	BadMacro          Reason = "spf.BadMacro"          // a macro that follows no rule of §7.1
	BadAddress        Reason = "spf.BadAddress"        // ip4 or ip6 with no such address (§5.6)
	BadPrefix         Reason = "spf.BadPrefix"         // a prefix length out of range (§5.6)
	DuplicateModifier Reason = "spf.DuplicateModifier" // redirect or exp twice (§6)
	RecordTooLong     Reason = "spf.RecordTooLong"     // a record longer than DefaultRecordBytes
	InternalError     Reason = "spf.InternalError"     // a bug in postseal
)

var reasons = [...]Reason{Match, Default, NoDomain, NoRecord, MultipleRecords, DNSFailure, BudgetSpent, TimeLimit, TooManyLookups, TooManyVoids,
	TooManyMX, IncludeNoRecord, RedirectNoRecord, UnknownMechanism, BadTerm, BadDomainSpec, BadMacro, BadAddress, BadPrefix,
	DuplicateModifier, RecordTooLong, InternalError}

// Reasons lists every Reason.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

// Spend is what one term cost of the limits of RFC 7208 §4.6.4.
type Spend struct {
	Domain string // whose record the term is in
	Term   string // as written
	Name   string // what was looked up, after macro expansion
	Lookup int    // the number of this lookup, from 1
	Void   bool   // it was a void lookup
}

// Result is the outcome of a check (RFC 7208 §2.6) and how it came about.
type Result struct {
	Identity    Identity
	Domain      string // the domain checked, in A-labels where it is one
	Code        Code
	Reason      Reason
	Mechanism   string   // what matched, as written without its qualifier; "default" when nothing did
	Path        []string // the domains of the records from the first to the one that decided
	Explanation string   // of the domain owner, for a fail (RFC 7208 §6.2): third-party text, printable ASCII
	Lookups     int      // terms that cost a lookup
	VoidLookups int
	Spent       []Spend
	Problem     string        // what went wrong, for a person; outside text in it is quoted
	TTL         time.Duration // the least of all answers
	Cacheable   bool          // the same for every sender at Domain from this address, for TTL (RFC 7208 §7.3)

	// LocalPartNames are names that were asked and hold the local part of the sender, by
	// the macros %{s} and %{l}, or a HELO name with an "@", by %{h}: they are not to be shown
	// to others.
	LocalPartNames []string

	Steps []Step // with Checker.Trace
}
