package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"testing"

	"postseal/dkim"
	"postseal/lab/reference"
)

// recordOf is the Key of an RSA public key of any shape.
func recordOf(t testing.TB, public *rsa.PublicKey) *dkim.Key {
	t.Helper()
	k, err := dkim.ParseKey("p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public)))
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
		"garbage behind the digest":  frame(1, 0xff, info, []byte("garbage")),
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

// FuzzRSA: a key of any modulus and exponent gives the same answer as crypto/rsa, for any
// signature and for the one that fits the modulus with the exponent 3 or 65537.
func FuzzRSA(f *testing.F) {
	key := rsaKey(f).(*rsa.PrivateKey)
	digest := sha256.Sum256([]byte("signed"))
	right := sign(key, encodings(key.Size(), digest[:])["right"])
	f.Add(key.N.Bytes(), key.E, right)
	f.Add(key.N.Bytes(), 3, right)
	f.Add(key.N.Bytes(), 1<<31-1, right[1:])
	f.Add(append([]byte{0, 0}, key.N.Bytes()...), key.E, append([]byte{0}, right...))
	f.Add(key.N.Bytes()[:128], 65537, right[:128])
	f.Fuzz(func(t *testing.T, modulus []byte, e int, sig []byte) {
		if len(modulus) > 512 || len(sig) > 512 {
			return
		}
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: e}
		k, err := dkim.ParseKey("p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public)))
		if err != nil {
			return
		}
		want := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil
		for range 2 { // with and without a prepared modulus
			if got := k.Verifies(digest[:], sig); got != want {
				t.Errorf("%x, %d, %x: %t, crypto/rsa %t", modulus, e, sig, got, want)
			}
		}
	})
}

// smallOrder are encodings of the points of small order, in canonical form and not: where
// implementations of RFC 8032 differ.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// TestEd25519SmallOrder: with a key and an R of small order and S = 0, a signature holds for
// some messages. Whatever crypto/ed25519 says of it, we say.
func TestEd25519SmallOrder(t *testing.T) {
	held := 0
	for _, a := range smallOrder {
		public, _ := hex.DecodeString(a)
		k, err := dkim.ParseKey("k=ed25519; p=" + base64.StdEncoding.EncodeToString(public))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range smallOrder {
			sig, _ := hex.DecodeString(r)
			sig = append(sig, make([]byte, 32)...)
			for m := range 16 {
				digest := sha256.Sum256([]byte{byte(m)})
				want := ed25519.Verify(public, digest[:], sig)
				if got := k.Verifies(digest[:], sig); got != want {
					t.Errorf("key %s, R %s, message %d: %t, crypto/ed25519 %t", a, r, m, got, want)
				}
				if want {
					held++
				}
			}
		}
	}
	if held == 0 {
		t.Error("no signature held: the cases show nothing")
	}
	t.Log(held, "held")
}

// FuzzEd25519: any key gives the same answer as crypto/ed25519, for any signature and for the
// right one, also with its parts changed: points of small order, S beyond the order.
func FuzzEd25519(f *testing.F) {
	key := reference.Ed25519("fuzz")
	public := key.Public().(ed25519.PublicKey)
	digest := sha256.Sum256([]byte("signed"))
	right := ed25519.Sign(key, digest[:])
	f.Add([]byte(public), right)
	f.Add(make([]byte, 32), make([]byte, 64))
	f.Add(append([]byte{1}, make([]byte, 31)...), append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...))
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	f.Add([]byte(public), append(bytes.Clone(right[:32]), order...))
	f.Add([]byte(public), right[:63])
	f.Add(bytes.Repeat([]byte{0xff}, 32), right)
	for _, p := range smallOrder {
		point, _ := hex.DecodeString(p)
		f.Add(point, append(bytes.Clone(point), make([]byte, 32)...))
	}
	f.Fuzz(func(t *testing.T, public, sig []byte) {
		if len(public) != ed25519.PublicKeySize {
			return
		}
		k, err := dkim.ParseKey("k=ed25519; p=" + base64.StdEncoding.EncodeToString(public))
		if err != nil {
			t.Fatal(err)
		}
		want := ed25519.Verify(public, digest[:], sig)
		for range 2 { // with and without a decompressed point
			if got := k.Verifies(digest[:], sig); got != want {
				t.Errorf("%x, %x: %t, crypto/ed25519 %t", public, sig, got, want)
			}
		}
	})
}
