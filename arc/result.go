package arc

import "slices"

// Code is a result word of RFC 8617 §4.4 and RFC 8601.
type Code string

// The results. Every error is permanent, that of the DNS too (RFC 8617 §5.2.1).
const (
	None Code = "none"
	Pass Code = "pass"
	Fail Code = "fail"
)

// Reason says why a Result is what it is. The set is closed: texts may change, reasons
// may not.
type Reason string

// The reasons of a Result.
const (
	NoChain           Reason = "arc.NoChain"           // the message has no ARC Set
	Valid             Reason = "arc.Valid"             // the chain validates (RFC 8617 §5.2)
	TooManySets       Reason = "arc.TooManySets"       // more than 50 instances (§4.2.1)
	Malformed         Reason = "arc.Malformed"         // a field that cannot be read (§4.1)
	InvalidInstance   Reason = "arc.InvalidInstance"   // no i= from 1 to 50 (§4.2.1)
	IncompleteSet     Reason = "arc.IncompleteSet"     // an instance without one of its three fields (§5.2)
	DuplicateField    Reason = "arc.DuplicateField"    // an instance with a field twice (§5.2)
	ChainFailed       Reason = "arc.ChainFailed"       // the newest seal says cv=fail (§5.2)
	WrongChainStatus  Reason = "arc.WrongChainStatus"  // cv= is not none for i=1, pass for the others (§5.2)
	SealCoversHeader  Reason = "arc.SealCoversHeader"  // an ARC-Seal with h= (§4.1.3)
	ForbiddenField    Reason = "arc.ForbiddenField"    // h= of an ARC-Message-Signature names an ARC field (§4.1.2)
	FromNotSigned     Reason = "arc.FromNotSigned"     // h= does not name From (RFC 6376 §5.4)
	AlgorithmUnknown  Reason = "arc.AlgorithmUnknown"  // a= is no algorithm that may verify (RFC 8301 §3.1)
	BodyHashMismatch  Reason = "arc.BodyHashMismatch"  // the body changed after the newest signature (§5.2)
	SignatureMismatch Reason = "arc.SignatureMismatch" // the newest ARC-Message-Signature does not verify (§5.2)
	SealMismatch      Reason = "arc.SealMismatch"      // an ARC-Seal does not verify (§5.2)
	Expired           Reason = "arc.Expired"           // x= of the newest signature is over (RFC 6376 §3.5)
	KeyUnusable       Reason = "arc.KeyUnusable"       // a key that is not there, cannot be looked up or cannot be used (§5.2.1)
	InternalError     Reason = "arc.InternalError"     // a defect of ours
)

var reasons = [...]Reason{NoChain, Valid, TooManySets, Malformed, InvalidInstance, IncompleteSet, DuplicateField, ChainFailed,
	WrongChainStatus, SealCoversHeader, ForbiddenField, FromNotSigned, AlgorithmUnknown, BodyHashMismatch, SignatureMismatch,
	SealMismatch, Expired, KeyUnusable, InternalError}

// Reasons lists every Reason.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

// Result is the outcome for a message.
type Result struct {
	Code       Code
	Reason     Reason
	Instance   int      // the instance at fault, 0 for the whole chain
	Instances  int      // ARC Sets in the message
	OldestPass int      // the oldest instance whose signature still verifies with all newer ones, 0 is all (RFC 8617 §5.2)
	Sealers    []string // d= of each ARC-Seal, instance 1 first; claims, unless Code is Pass
	Selectors  []string // s= of each ARC-Seal
	Results    [][]byte // the ARC-Authentication-Results of each instance behind "i=N;"
	Problem    string   // what went wrong, for a person
}
