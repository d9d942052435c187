package arc

import (
	"slices"
	"time"

	"postseal/domain"
)

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
	Malformed         Reason = "arc.Malformed"         // a field that cannot be read, or lacks a tag (§4.1)
	InvalidInstance   Reason = "arc.InvalidInstance"   // no i= from 1 to 50 (§4.2.1)
	IncompleteSet     Reason = "arc.IncompleteSet"     // an instance without one of its three fields (§5.2)
	DuplicateField    Reason = "arc.DuplicateField"    // an instance with a field twice (§5.2)
	ChainFailed       Reason = "arc.ChainFailed"       // the newest seal says cv=fail (§5.2)
	WrongChainStatus  Reason = "arc.WrongChainStatus"  // cv= is not none for i=1, pass for the others (§5.2)
	SealCoversHeader  Reason = "arc.SealCoversHeader"  // an ARC-Seal with h= (§4.1.3)
	SealSigned        Reason = "arc.SealSigned"        // h= of an ARC-Message-Signature names ARC-Seal (§4.1.2)
	FromNotSigned     Reason = "arc.FromNotSigned"     // h= does not name From (RFC 6376 §5.4)
	AlgorithmUnknown  Reason = "arc.AlgorithmUnknown"  // a= is not an algorithm that may verify (RFC 8301 §3.1)
	BodyHashMismatch  Reason = "arc.BodyHashMismatch"  // the body changed after the newest signature (§5.2)
	SignatureMismatch Reason = "arc.SignatureMismatch" // the newest ARC-Message-Signature does not verify (§5.2)
	SealMismatch      Reason = "arc.SealMismatch"      // an ARC-Seal does not verify (§5.2)
	BodyNotCovered    Reason = "arc.BodyNotCovered"    // l= of the newest signature leaves part of the body unsigned (RFC 6376 §8.2)
	Expired           Reason = "arc.Expired"           // x= of the newest signature is over (RFC 6376 §3.5)
	KeyUnusable       Reason = "arc.KeyUnusable"       // a key that is not there, cannot be looked up or cannot be used (§5.2.1)
	TooCostly         Reason = "arc.TooCostly"         // the keys of the chain cost more than is spent on one message
	InternalError     Reason = "arc.InternalError"     // a bug in postseal
)

var reasons = [...]Reason{NoChain, Valid, TooManySets, Malformed, InvalidInstance, IncompleteSet, DuplicateField, ChainFailed,
	WrongChainStatus, SealCoversHeader, SealSigned, FromNotSigned, AlgorithmUnknown, BodyHashMismatch, SignatureMismatch,
	SealMismatch, BodyNotCovered, Expired, KeyUnusable, TooCostly, InternalError}

// Reasons lists every Reason.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

// problems says each fault for a person.
var problems = map[Reason]string{
	TooManySets:       "more than 50 sets",
	Malformed:         "a field cannot be read",
	InvalidInstance:   "a field without an instance from 1 to 50",
	IncompleteSet:     "a field of the set is missing",
	DuplicateField:    "duplicate field in the set",
	ChainFailed:       "the newest sealer found the chain broken",
	WrongChainStatus:  "cv= is not what this place in the chain wants",
	SealCoversHeader:  "the seal has an h=",
	SealSigned:        "the message signature names ARC-Seal",
	FromNotSigned:     "the message signature does not cover From",
	AlgorithmUnknown:  "an algorithm that may not verify",
	BodyHashMismatch:  "the body changed after sealing",
	SignatureMismatch: "a signed header field changed after sealing, or the key is another",
	SealMismatch:      "the seal does not hold",
	BodyNotCovered:    "the message signature leaves part of the body unsigned",
	Expired:           "the message signature has expired",
	KeyUnusable:       "a key is missing, cannot be looked up or cannot be used",
	TooCostly:         "the keys of the chain cost too much",
	InternalError:     "the header section did not end",
}

// Sealer is who made an ARC-Seal: its d= and s=, empty when they cannot be read.
type Sealer struct{ Domain, Selector string }

// Result is the outcome for a message.
type Result struct {
	Code       Code
	Reason     Reason
	Instance   int       // the instance at fault, 0 for the whole chain
	Instances  int       // ARC Sets in the message
	OldestPass int       // the oldest instance whose signature still verifies with all newer ones, 0 is all (RFC 8617 §5.2)
	Sealers    []Sealer  // of instance 1 first; claims, unless Code is Pass
	Results    [][]byte  // the authres-payload of each instance, instance 1 first
	Problem    string    // what went wrong, for a person
	Signed     []string  // names in h= of the newest ARC-Message-Signature, lower case; a claim, unless Code is Pass
	SealedAt   time.Time // t= of the newest ARC-Seal, the zero Time without one; a claim, unless Code is Pass
}

// OldestTrusted is the oldest instance up to which, from the newest on, the d= of every
// sealer is one of trusted; 0 when the newest is not, or the chain does not pass. What an
// instance says is worth as much as its sealer: before the first one that is not trusted,
// all of it may be made up.
func (r *Result) OldestTrusted(trusted []string) int {
	if r.Code != Pass {
		return 0
	}
	oldest := 0
	for i, s := range slices.Backward(r.Sealers) {
		if !isSealer(s.Domain, trusted) {
			break
		}
		oldest = i + 1
	}
	return oldest
}

func isSealer(d string, trusted []string) bool {
	return slices.ContainsFunc(trusted, func(t string) bool {
		name, err := domain.Parse(t)
		return err == nil && string(name) == d
	})
}
