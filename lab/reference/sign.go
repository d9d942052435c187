package reference

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// The places in a Signature.Field that Sign fills in.
const (
	BodyHash  = "{bh}"
	SignedAs  = "{b}"
	noBodyEnd = -1
)

// Signature is one signature to make. Its Field says what it likes: what is signed, and
// how, is told by the other members, so that a field can lie.
type Signature struct {
	Field  string // whole, with name and folds, BodyHash and SignedAs in their places
	Header string // "simple" or "relaxed"
	Body   string
	Names  []string // fields that are signed, in this order
	Length int      // octets of the canonical body that are hashed; negative is all
	Key    crypto.Signer
}

// DKIM is a signature of domain d with selector s over the usual fields, relaxed.
func DKIM(d, s string, key crypto.Signer) Signature {
	return Signature{Field: "DKIM-Signature: v=1; a=" + keyType(key) + "-sha256; c=relaxed/relaxed; d=" + d + "; s=" + s + ";\r\n" +
		"\th=From:To:Subject:Date; bh={bh};\r\n\tb={b}",
		Header: "relaxed", Body: "relaxed", Names: []string{"From", "To", "Subject", "Date"}, Length: noBodyEnd, Key: key}
}

// With returns the signature with old replaced in its field by new, before signing.
func (s Signature) With(old, new string) Signature {
	if !strings.Contains(s.Field, old) {
		panic("reference: the field has no " + old)
	}
	s.Field = strings.Replace(s.Field, old, new, 1)
	return s
}

// Canonical sets both canonicalizations, in the field and in what is done.
func (s Signature) Canonical(header, body string) Signature {
	s = s.With("c="+s.Header+"/"+s.Body, "c="+header+"/"+body)
	s.Header, s.Body = header, body
	return s
}

// Change makes one signature of another, before signing.
type Change func(Signature) Signature

// With is Signature.With as a Change.
func With(old, new string) Change {
	return func(s Signature) Signature { return s.With(old, new) }
}

// Canonical is Signature.Canonical as a Change.
func Canonical(header, body string) Change {
	return func(s Signature) Signature { return s.Canonical(header, body) }
}

// And is c, and then With.
func (c Change) And(old, new string) Change {
	return func(s Signature) Signature { return c(s).With(old, new) }
}

// Signing is c with other fields that are signed.
func (c Change) Signing(names ...string) Change {
	return func(s Signature) Signature { s = c(s); s.Names = names; return s }
}

// Hashing is c with n octets of the body that are hashed.
func (c Change) Hashing(n int) Change {
	return func(s Signature) Signature { s = c(s); s.Length = n; return s }
}

// Sign returns message, which has CRLF line endings, with the field on top.
func (s Signature) Sign(message string) string {
	fields, body := Split(message)
	return s.make(fields, body) + "\r\n" + message
}

// BodySum is the bh= of a body.
func BodySum(word, body string) string { return sum(Body(word, body)) }

func sum(text string) string {
	hash := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(hash[:])
}

// make fills in the hash and the signature. The place of b= is there once, and empty while
// the field is signed (RFC 6376 §3.7).
func (s Signature) make(fields []string, body string) string {
	canonical := Body(s.Body, body)
	if s.Length >= 0 {
		canonical = canonical[:min(s.Length, len(canonical))]
	}
	field := strings.Replace(s.Field, BodyHash, sum(canonical), 1)
	var text strings.Builder
	for _, f := range choose(fields, s.Names) {
		text.WriteString(Header(s.Header, f))
	}
	text.WriteString(strings.TrimSuffix(Header(s.Header, strings.Replace(field, SignedAs, "", 1)), "\r\n"))
	return strings.Replace(field, SignedAs, sign(s.Key, text.String()), 1)
}
