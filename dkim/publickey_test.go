package dkim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"testing"

	"postseal/internal/core/signature"
)

// recordOf is the Key of an RSA public key of any shape.
func recordOf(t testing.TB, public *rsa.PublicKey) *signature.Key {
	t.Helper()
	k, err := signature.ParseKey("p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign is RSASP1 of what is taken for an encoded message (RFC 8017 §5.2.1).
func sign(key *rsa.PrivateKey, encoded []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(encoded), key.D, key.N).FillBytes(make([]byte, key.Size()))
}

// encodings are EMSA-PKCS1-v1_5 forms of a digest for a modulus of size octets, right first.
func encodings(size int, digest []byte) map[string][]byte {
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, digest...)
	noNull := append([]byte{0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20}, digest...)
	frame := func(first, filler byte, info, behind []byte) []byte {
		em := make([]byte, size)
		em[1] = first
		padding := size - 3 - len(info) - len(behind)
		for i := range padding {
			em[2+i] = filler
		}
		copy(em[3+padding:], info)
		copy(em[3+padding+len(info):], behind)
		return em
	}
	short := frame(1, 0xff, info, make([]byte, size-3-len(info)-8))
	return map[string][]byte{
		"right":                      frame(1, 0xff, info, nil),
		"garbage after the digest":   frame(1, 0xff, info, []byte("garbage")),
		"little padding and garbage": short,
		"without NULL":               frame(1, 0xff, noNull, nil),
		"block type 2":               frame(2, 0xff, info, nil),
		"padding of zeros":           frame(1, 0, info, nil),
		"padding of FE":              frame(1, 0xfe, info, nil),
		"digest alone":               frame(1, 0xff, digest, nil),
	}
}

// TestRSAEncodings: nothing but the one encoding verifies, also what a lenient parser of the
// padding takes (as of CVE-2006-4339).
func TestRSAEncodings(t *testing.T) {
	digest := sha256.Sum256([]byte("signed"))
	for _, bits := range []int{1024, 1025, 1536, 2048, 3072} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		k := recordOf(t, &key.PublicKey)
		for name, em := range encodings(key.Size(), digest[:]) {
			sig := sign(key, em)
			if got, want := k.Verifies(digest[:], sig), name == "right"; got != want {
				t.Errorf("%d bits, %s: %t", bits, name, got)
			}
		}
		sig := sign(key, encodings(key.Size(), digest[:])["right"])
		for name, changed := range map[string][]byte{"an octet 0 before it": append([]byte{0}, sig...), "an octet less": sig[1:], "none": nil,
			"plus the modulus": new(big.Int).Add(new(big.Int).SetBytes(sig), key.N).Bytes()} {
			if k.Verifies(digest[:], changed) {
				t.Errorf("%d bits, %s: verifies", bits, name)
			}
		}
		if k.Verifies(digest[:31], sig) || k.Verifies(append(digest[:], 0), sig) {
			t.Errorf("%d bits: a digest of another length verifies", bits)
		}
	}
}

// TestRSAStrangeKeys: a key that crypto/rsa refuses verifies nothing.
func TestRSAStrangeKeys(t *testing.T) {
	digest := sha256.Sum256([]byte("signed"))
	key := rsaKey(t).(*rsa.PrivateKey)
	even := new(big.Int).Add(key.N, big.NewInt(1))
	for name, public := range map[string]*rsa.PublicKey{"even modulus": {N: even, E: 65537}, "exponent 1": {N: key.N, E: 1}, "even exponent": {N: key.N, E: 65536}} {
		em := encodings(key.Size(), digest[:])["right"] // which is its own signature where the exponent is 1
		if recordOf(t, public).Verifies(digest[:], em) {
			t.Errorf("%s: verifies", name)
		}
	}
}
