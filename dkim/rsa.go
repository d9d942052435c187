package dkim

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"sync"

	"filippo.io/bigmod"
)

// rsaKey verifies with a modulus that is prepared once for all signatures, at the first of
// them: crypto/rsa does it for each, which is a third of its work.
type rsaKey struct {
	public  *rsa.PublicKey
	prepare sync.Once
	modulus *bigmod.Modulus // nil when no signature of the key can be verified
}

// maxExponent is that of crypto/rsa.
const maxExponent = 1<<31 - 1

func (k *rsaKey) setModulus() {
	e := k.public.E
	if k.public.N.Bit(0) == 0 || k.public.N.BitLen() < minKeyBits || e < 2 || e > maxExponent || e&1 == 0 {
		return // as crypto/rsa refuses it
	}
	k.modulus, _ = bigmod.NewModulus(k.public.N.Bytes())
}

// verifies is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2.2). In FIPS 140-3 mode it is that
// of the validated module.
func (k *rsaKey) verifies(digest, sig []byte) bool {
	if fips140.Enabled() {
		return rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest, sig) == nil
	}
	k.prepare.Do(k.setModulus)
	if k.modulus == nil || len(digest) != sha256.Size || len(sig) != k.modulus.Size() {
		return false
	}
	n := numbers.Get().(*[2]bigmod.Nat)
	defer numbers.Put(n)
	if _, err := n[0].SetBytes(sig, k.modulus); err != nil {
		return false // not less than the modulus
	}
	encoded := n[1].ExpShortVarTime(&n[0], uint(k.public.E), k.modulus).Bytes(k.modulus)
	return isEncoded(encoded, digest)
}

// numbers are used again: a signature and the encoded message in it.
var numbers = sync.Pool{New: func() any { return new([2]bigmod.Nat) }}

// digestInfo is the DER that stands before a SHA-256 hash (RFC 8017 §9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// isEncoded reports whether em is EMSA-PKCS1-v1_5 of the digest (RFC 8017 §9.2):
// 00 01 FF…FF 00 DigestInfo. Every octet is compared; nothing of it is parsed.
func isEncoded(em, digest []byte) bool {
	padding := len(em) - 3 - len(digestInfo) - len(digest)
	if padding < 8 || em[0] != 0 || em[1] != 1 || em[2+padding] != 0 {
		return false
	}
	for _, c := range em[2 : 2+padding] {
		if c != 0xff {
			return false
		}
	}
	info := em[3+padding:]
	return bytes.Equal(info[:len(digestInfo)], digestInfo) && bytes.Equal(info[len(digestInfo):], digest)
}
