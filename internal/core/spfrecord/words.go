package spfrecord

// Code is a result word of RFC 7208 §2.6: that of a qualifier, or of a domain without a record.
// Each is a Code of package spf, which explains them.
type Code string

// The result words.
const (
	None      Code = "none"
	Pass      Code = "pass"
	Fail      Code = "fail"
	SoftFail  Code = "softfail"
	Neutral   Code = "neutral"
	TempError Code = "temperror"
	PermError Code = "permerror"
)

// Reason says why there is no record. Each is a Reason of package spf, which explains them.
type Reason string

// The reasons of a Fault.
const (
	NoDomain        Reason = "spf.NoDomain"
	NoRecord        Reason = "spf.NoRecord"
	MultipleRecords Reason = "spf.MultipleRecords"
	RecordTooLong   Reason = "spf.RecordTooLong"
	DNSFailure      Reason = "spf.DNSFailure"
	BudgetSpent     Reason = "spf.BudgetSpent"
	TimeLimit       Reason = "spf.TimeLimit"
)

// The reasons of a SyntaxError.
const (
	UnknownMechanism  Reason = "spf.UnknownMechanism"
	BadTerm           Reason = "spf.BadTerm"
	BadDomainSpec     Reason = "spf.BadDomainSpec"
	BadMacro          Reason = "spf.BadMacro"
	BadAddress        Reason = "spf.BadAddress"
	BadPrefix         Reason = "spf.BadPrefix"
	DuplicateModifier Reason = "spf.DuplicateModifier"
)
