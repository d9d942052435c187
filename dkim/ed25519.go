package dkim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/sha512"
	"sync"

	"filippo.io/edwards25519"
)

// edKey verifies with a point that is decompressed once for all signatures, at the first of
// them: crypto/ed25519 does it for each.
type edKey struct {
	public  ed25519.PublicKey
	prepare sync.Once
	minusA  *edwards25519.Point // nil when the key is no point
}

func (k *edKey) setPoint() {
	if a, err := new(edwards25519.Point).SetBytes(k.public); err == nil {
		k.minusA = a.Negate(a)
	}
}

// verifies is RFC 8032 §5.1.7, without the cofactor and with the canonical S alone, as
// crypto/ed25519 has it. In FIPS 140-3 mode it is that of the validated module.
func (k *edKey) verifies(digest, sig []byte) bool {
	if fips140.Enabled() {
		return ed25519.Verify(k.public, digest, sig)
	}
	k.prepare.Do(k.setPoint)
	if k.minusA == nil || len(sig) != ed25519.SignatureSize {
		return false
	}
	var room [2*32 + 32]byte // of R, A and a SHA-256
	sum := sha512.Sum512(append(append(append(room[:0], sig[:32]...), k.public...), digest...))
	h, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false // not less than the order of the group
	}
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(h, k.minusA, s)
	return bytes.Equal(sig[:32], r.Bytes())
}
