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
	prefix  []byte          // of an encoded message, before the digest
}

// maxExponent is that of crypto/rsa.
const maxExponent = 1<<31 - 1

func (k *rsaKey) setModulus() {
	e := k.public.E
	if k.public.N.Bit(0) == 0 || k.public.N.BitLen() < minKeyBits || e < 2 || e > maxExponent || e&1 == 0 {
		return // as crypto/rsa refuses it
	}
	n := k.public.N.Bytes()
	k.modulus, _ = bigmod.NewModulus(n)
	k.prefix = encodedPrefix(len(n) - sha256.Size)
}

// digestInfo is the DER that stands before a SHA-256 hash (RFC 8017 §9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// encodedPrefix is EMSA-PKCS1-v1_5 up to the digest (RFC 8017 §9.2): 00 01 FF…FF 00
// DigestInfo.
func encodedPrefix(size int) []byte {
	em := bytes.Repeat([]byte{0xff}, size)
	em[0], em[1], em[size-len(digestInfo)-1] = 0, 1, 0
	copy(em[size-len(digestInfo):], digestInfo)
	return em
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
	w := rsaWorks.Get().(*rsaWork)
	defer rsaWorks.Put(w)
	if _, err := w.signature.SetBytes(sig, k.modulus); err != nil {
		return false // not less than the modulus
	}
	w.encoded = append(append(w.encoded[:0], k.prefix...), digest...)
	if _, err := w.expected.SetBytes(w.encoded, k.modulus); err != nil {
		return false
	}
	return w.message.ExpShortVarTime(&w.signature, uint(k.public.E), k.modulus).Equal(&w.expected) == 1
}

// rsaWork is used again: a signature, the encoded message in it, and the one that it should be.
type rsaWork struct {
	signature, message, expected bigmod.Nat
	encoded                      []byte
}

var rsaWorks = sync.Pool{New: func() any { return new(rsaWork) }}
