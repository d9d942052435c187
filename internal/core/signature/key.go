package signature

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/bits"
	"strings"

	"postseal/domain"
	"postseal/internal/core/memo"
	"postseal/internal/core/middleware"
	"postseal/internal/core/tagvalue"
	"postseal/resolver"
)

// Key is a parsed key record (RFC 6376 §3.6.1).
type Key struct {
	Type     string // k=: rsa or ed25519
	Bits     int
	Hashes   string // h=, "" allows all
	Services string // s=, "" is all
	TestMode bool   // t=y
	Strict   bool   // t=s: i= must be d= itself
	Revoked  bool   // p= is empty
	Public   any    // *rsa.PublicKey or ed25519.PublicKey

	hasHashes, hasServices bool // h=, s= are there: an empty list allows nothing
}

// MinKeyBits is the least that may verify (RFC 8301 §3.2).
const MinKeyBits = 1024

// maxKeyText is the longest record that is parsed; an RSA key of 16384 bits has 2.8 KB.
const maxKeyText = 8 << 10

// ParseKey parses the text of a key record. The error is a *SyntaxError.
func ParseKey(text string) (*Key, error) {
	if len(text) > maxKeyText {
		return nil, &SyntaxError{0, KeyMalformed, "the record is too long for a key"}
	}
	tags, err := tagvalue.ParseRecord(text)
	if err != nil {
		e := err.(*tagvalue.Error)
		return nil, &SyntaxError{e.Offset, KeyMalformed, e.Msg}
	}
	k := &Key{Type: "rsa"}
	p := -1
	for i, t := range tags {
		switch t.Name {
		case "v":
			if i != 0 || t.Value != "DKIM1" {
				return nil, &SyntaxError{t.ValueOffset, KeyMalformed, "v= is not the first tag, or not DKIM1"}
			}
		case "k":
			k.Type = t.Value
		case "h":
			k.Hashes, k.hasHashes = tagvalue.StripFWS(t.Value), true
		case "s":
			k.Services, k.hasServices = tagvalue.StripFWS(t.Value), true
		case "t":
			k.TestMode, k.Strict = Listed(t.Value, "y"), Listed(t.Value, "s")
		case "p":
			p = i
		}
	}
	if p < 0 {
		return nil, &SyntaxError{len(text), KeyMalformed, "required tag p= is missing"}
	}
	return k, k.setPublic(tags[p])
}

// Listed reports whether word is one of a colon-separated list (RFC 6376 §3.6.1).
func Listed(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if tagvalue.StripFWS(w) == word {
			return true
		}
	}
	return false
}

func (k *Key) setPublic(p tagvalue.Tag) error {
	data, ok := decodeBase64(p.Value)
	switch {
	case !ok:
		return &SyntaxError{p.ValueOffset, KeyMalformed, "p= is not base64"}
	case len(data) == 0:
		k.Revoked = true
		return nil
	}
	switch k.Type {
	case "rsa":
		return k.setRSA(data, p.ValueOffset)
	case "ed25519":
		if len(data) != ed25519.PublicKeySize {
			return &SyntaxError{p.ValueOffset, KeyMalformed, "p= has not the 32 octets of an Ed25519 key"}
		}
		k.Public, k.Bits = ed25519.PublicKey(data), 8*ed25519.PublicKeySize
	}
	return nil // of another type: KeyTypeMismatch when it is used
}

// setRSA takes SubjectPublicKeyInfo, as RFC 6376 Appendix C makes it, or RSAPublicKey, as
// §3.6.1 says.
func (k *Key) setRSA(der []byte, offset int) error {
	public, err := x509.ParsePKIXPublicKey(der)
	key, ok := public.(*rsa.PublicKey)
	if err != nil {
		key, err = x509.ParsePKCS1PublicKey(der)
		ok = err == nil
	}
	if !ok {
		return &SyntaxError{offset, KeyMalformed, "p= is not an RSA public key"}
	}
	k.Public, k.Bits = key, key.N.BitLen()
	return nil
}

// Usable says why the key cannot verify a signature of this algorithm and identity, ""
// when it can (RFC 6376 §6.1.2).
func (k *Key) Usable(algorithm string, identity, d domain.Name, maxBits int) Reason {
	keyType, _, _ := strings.Cut(algorithm, "-")
	switch {
	case k.Revoked:
		return KeyRevoked
	case k.Type != keyType:
		return KeyTypeMismatch
	case k.hasHashes && !Listed(k.Hashes, "sha256"):
		return KeyHashForbidden
	case k.hasServices && !Listed(k.Services, "*") && !Listed(k.Services, "email"):
		return KeyNotForEmail
	case k.Strict && identity != d:
		return KeyStrictIdentity
	case k.Type == "rsa" && k.Bits < MinKeyBits:
		return KeyTooShort
	case k.Bits > maxBits:
		return KeyTooLong
	}
	return ""
}

// Verifies reports whether sig is the signature of the SHA-256 digest: PKCS #1 v1.5 for
// RSA, and for Ed25519 the digest is the message (RFC 8463 §3).
func (k *Key) Verifies(digest, sig []byte) bool {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(public, digest, sig)
	}
	return false
}

// Work is what Verifies costs, in multiplications of 1024 bits: an RSA key of 2048 bits with
// the usual exponent 65537 has 76, one of 8192 bits and the largest exponent 3968.
func (k *Key) Work() int {
	key, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		return edWork
	}
	words := (k.Bits + 1023) / 1024
	e := uint(key.E)
	return words * words * (bits.Len(e) + bits.OnesCount(e))
}

// edWork is the cost of Ed25519 in the unit of Work. It takes the time of 140, but the 100
// signatures and seals of 50 ARC sets must be affordable.
const edWork = 80

// ErrNoKey reports that there is no key record at a name.
var ErrNoKey = errors.New("no key record")

// maxKeys is how many key records of one name are tried; their order has no meaning (RFC
// 6376 §6.1.2).
const maxKeys = 3

// KeySet is what a name's records came to, kept with a cached answer.
type KeySet struct {
	Keys []*Key // at most three
	err  error  // why the first record is unusable, if no record is a key
}

// IsPublicSuffix reports whether d is a public suffix, for which no organization signs (RFC
// 6376 §8.14).
func IsPublicSuffix(d domain.Name) bool {
	suffix, icann := d.PublicSuffix()
	return suffix == d && (icann || d.Labels() == 1)
}

func parseKeys(a resolver.Answer) *KeySet {
	set := &KeySet{err: ErrNoKey}
	for i := range a.Records {
		k, err := ParseKey(a.Records[i].Text)
		switch {
		case err == nil && len(set.Keys) < maxKeys:
			set.Keys = append(set.Keys, k)
		case err != nil && set.err == ErrNoKey:
			set.err = err
		}
	}
	if len(set.Keys) > 0 {
		set.err = nil
	}
	return set
}

// KeyName is the name of the key record of a selector (RFC 6376 §3.6.2.1).
func KeyName(selector, d domain.Name) string { return string(selector) + "._domainkey." + string(d) }

// PrefetchKey tells r that the keys of a selector will be looked up.
func PrefetchKey(r resolver.Resolver, selector, d domain.Name) {
	middleware.Prefetch(r, KeyName(selector, d), resolver.TXT)
}

// LookupKey asks for the keys of a selector, at most three. Its errors are those of LookupKeys.
func LookupKey(ctx context.Context, r resolver.Resolver, selector, d domain.Name) ([]*Key, error) {
	set, err := LookupKeys(ctx, r, KeyName(selector, d))
	if err != nil {
		return nil, err
	}
	return set.Keys, nil
}

// LookupKeys asks for the keys at a name that KeyName made. The error is a *resolver.Error if
// the lookup failed, ErrNoKey if there is no record, a *SyntaxError if no record is a key.
func LookupKeys(ctx context.Context, r resolver.Resolver, name string) (*KeySet, error) {
	a, err := r.Lookup(ctx, name, resolver.TXT)
	if err != nil {
		return nil, err
	}
	set := memo.Parsed(a, parseKeys)
	return set, set.err
}
