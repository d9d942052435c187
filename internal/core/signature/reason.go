package signature

// Reason says why a signature field or a key cannot be used. Each is one of the reasons of
// package dkim, where they are explained.
type Reason string

// The reasons of a SyntaxError.
const (
	Malformed          Reason = "dkim.Malformed"
	MissingTag         Reason = "dkim.MissingTag"
	UnknownVersion     Reason = "dkim.UnknownVersion"
	AlgorithmUnknown   Reason = "dkim.AlgorithmUnknown"
	AlgorithmForbidden Reason = "dkim.AlgorithmForbidden"
	CanonicalUnknown   Reason = "dkim.CanonicalUnknown"
	QueryUnknown       Reason = "dkim.QueryUnknown"
	FromNotSigned      Reason = "dkim.FromNotSigned"
	IdentityMismatch   Reason = "dkim.IdentityMismatch"
	KeyMalformed       Reason = "dkim.KeyMalformed"
)

// The reasons why Key.Usable refuses a key.
const (
	KeyRevoked        Reason = "dkim.KeyRevoked"
	KeyTypeMismatch   Reason = "dkim.KeyTypeMismatch"
	KeyHashForbidden  Reason = "dkim.KeyHashForbidden"
	KeyNotForEmail    Reason = "dkim.KeyNotForEmail"
	KeyStrictIdentity Reason = "dkim.KeyStrictIdentity"
	KeyTooShort       Reason = "dkim.KeyTooShort"
	KeyTooLong        Reason = "dkim.KeyTooLong"
)
