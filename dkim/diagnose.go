package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"slices"

	"postseal/internal/core/canonical"
	"postseal/internal/core/shared"
	"postseal/internal/core/signature"
	"postseal/message"
)

// Cause is the kind of change that broke a signature. The set is closed: texts may change,
// causes may not.
type Cause string

// The causes of a Diagnosis.
const (
	ListFooter     Cause = "list-footer"     // text was added to the body
	SubjectPrefix  Cause = "subject-prefix"  // text was added to the Subject
	FromRewritten  Cause = "from-rewritten"  // the author was replaced, the original stands elsewhere
	FieldAdded     Cause = "field-added"     // a header field of a signed name was added
	FieldModified  Cause = "field-modified"  // a signed header field was changed or removed
	Refolded       Cause = "refolded"        // white space of the header section or the body was changed
	Recoded        Cause = "recoded"         // the body or a field is in another encoding than at signing
	KeyChanged     Cause = "key-changed"     // the key in the DNS is not the one that signed
	LengthWrong    Cause = "length-wrong"    // l= is not the octets that bh= was made of
	UnknownCause   Cause = "unknown"         // none of the changes that were tried
	NotDiagnosable Cause = "not-diagnosable" // there is no key to compare with, or nothing is broken
)

// Diagnosis says what most likely happened between signing and verification.
type Diagnosis struct {
	Cause Cause
	Text  string // one sentence, with outside text quoted
	// HeaderIntact tells that the header section was signed with this key as it stands, or
	// but for a change that was found: whoever changed the body had a genuine message.
	HeaderIntact bool
}

// Bounds of a diagnosis.
const (
	maxAttempts        = 300      // header sections that are tried
	maxDiagnosedFields = 200      // fields of a header section that is looked at
	maxDiagnosedBody   = 16 << 20 // octets of a body that is looked at
	maxHashed          = 64 << 20 // octets hashed over all attempts on the body
)

// Diagnose looks for the change that broke s, of a message with this header section and
// whole body, by undoing changes that lists, gateways and mail stores make. It proves what
// it says: the signature verifies with the change undone. The work is bounded, but far above
// that of a verification: it is for those who ask.
func (v *Verifier) Diagnose(ctx context.Context, h *message.Header, body []byte, s *Result) Diagnosis {
	if v == nil || s == nil {
		return Diagnosis{Cause: NotDiagnosable}
	}
	p := newPatient(ctx, v, h, body, s)
	if p == nil {
		return Diagnosis{Cause: NotDiagnosable}
	}
	if p.otherKey() {
		return Diagnosis{Cause: KeyChanged, Text: "the signature was not made with the key in the DNS: the key was replaced or mistyped, or b= was changed"}
	}
	header, intact := p.header()
	if s.Reason == SignatureMismatch {
		if !intact {
			header = Diagnosis{Cause: UnknownCause, Text: "no change that was tried explains it: a signed field was changed, or the signature was never this key's"}
		}
		header.HeaderIntact = intact
		return header
	}
	d := Diagnosis{Cause: UnknownCause, Text: "the body is not the one that was signed, and no change that was tried explains it"}
	if intact { // else the signature may have been copied from another message
		d = p.bodyChange()
		if header.Cause != "" && d.Cause != UnknownCause {
			d.Text += "; " + header.Text
		}
	}
	d.HeaderIntact = intact
	return d
}

// patient is the broken signature with what is needed to try.
type patient struct {
	field    *signature.Field
	keys     []*signature.Key
	digests  [][]byte // what each RSA key says was signed
	h        *message.Header
	own      int
	body     []byte
	attempts int
	hashed   int64
}

func newPatient(ctx context.Context, v *Verifier, h *message.Header, body []byte, s *Result) *patient {
	broken := s.Reason == BodyHashMismatch || s.Reason == SignatureMismatch || s.Reason == LimitBeyondBody
	if !broken || s.FieldIndex < 0 || s.FieldIndex >= h.Len() || h.Len() > maxDiagnosedFields || len(body) > maxDiagnosedBody {
		return nil
	}
	field, err := signature.ParseSignature(string(h.At(s.FieldIndex).Value()))
	if err != nil {
		return nil
	}
	keys, err := signature.LookupKey(ctx, shared.Resolver(v.Resolver), field.Selector, field.Domain)
	if err != nil && !errors.Is(err, signature.ErrNoKey) || len(keys) == 0 {
		return nil
	}
	p := &patient{field: field, h: h, own: s.FieldIndex, body: body}
	for _, k := range keys {
		if k.Usable(field.Algorithm, field.Identity, field.Domain, DefaultKeyBits) == "" {
			p.keys = append(p.keys, k)
		}
	}
	if len(p.keys) == 0 {
		return nil
	}
	return p
}

// otherKey opens the signature with each RSA key: what a wrong key gives has no padding
// (RFC 8017 §9.2). An Ed25519 signature does not tell.
func (p *patient) otherKey() bool {
	for _, k := range p.keys {
		key, ok := k.Public.(*rsa.PublicKey)
		if !ok {
			return false
		}
		if digest := signedDigest(key, p.field.B); digest != nil {
			p.digests = append(p.digests, digest)
		}
	}
	return len(p.digests) == 0
}

// digestInfo is the DER that stands before a SHA-256 hash (RFC 8017 §9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// signedDigest is the digest inside an RSA signature, nil when public did not make it. It
// decides nothing: a verdict comes from Key.Verifies.
func signedDigest(public *rsa.PublicKey, sig []byte) []byte {
	if len(sig) != public.Size() {
		return nil
	}
	m := new(big.Int).Exp(new(big.Int).SetBytes(sig), big.NewInt(int64(public.E)), public.N).FillBytes(make([]byte, public.Size()))
	padding, info, ok := bytes.Cut(m, append([]byte{0}, digestInfo...))
	if !ok || len(info) != sha256.Size || !bytes.HasPrefix(padding, []byte{0, 1}) || len(bytes.Trim(padding[2:], "\xff")) > 0 {
		return nil
	}
	return info
}

// verifies reports whether the signature holds for fields as the header section.
func (p *patient) verifies(fields []message.Field) bool {
	p.attempts++
	var h message.Header
	own := -1
	for i, f := range fields {
		if f.Raw == nil {
			continue
		}
		if i == p.own {
			own = h.Len()
		}
		h.Add(f)
	}
	digest := p.field.HeaderDigest(canonical.NewIndex(&h).Select(own), h.At(own))
	if len(p.digests) > 0 {
		return slices.ContainsFunc(p.digests, func(d []byte) bool { return bytes.Equal(d, digest[:]) })
	}
	return slices.ContainsFunc(p.keys, func(k *signature.Key) bool {
		return k.Type == "ed25519" && k.Verifies(digest[:], p.field.B)
	})
}
