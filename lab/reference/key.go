package reference

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

// Ed25519 makes the private key that a text stands for, always the same.
func Ed25519(text string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("postseal sample key " + text))
	return ed25519.NewKeyFromSeed(seed[:])
}

// ReadKey reads a private key in PKCS #8 or PKCS #1 form from a PEM file.
func ReadKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key.(crypto.Signer), nil
}

// PublicText is the p= of a key: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1, Appendix
// C), the 32 octets themselves for Ed25519 (RFC 8463 §4).
func PublicText(key crypto.Signer) string {
	if public, ok := key.Public().(ed25519.PublicKey); ok {
		return base64.StdEncoding.EncodeToString(public)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Record is the text of a key record.
func Record(key crypto.Signer) string {
	return "v=DKIM1; k=" + keyType(key) + "; p=" + PublicText(key)
}

func keyType(key crypto.Signer) string {
	if _, ok := key.(ed25519.PrivateKey); ok {
		return "ed25519"
	}
	return "rsa"
}

// TXT writes a text as the data of a TXT record in a zone file, in strings of at most 255
// octets.
func TXT(text string) string {
	var quoted []string
	for rest := text; ; {
		n := min(len(rest), 255)
		quoted = append(quoted, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(rest[:n])+`"`)
		if rest = rest[n:]; rest == "" {
			return strings.Join(quoted, " ")
		}
	}
}

// sign makes the signature of the SHA-256 digest of text: PKCS #1 v1.5 with RSA, and with
// Ed25519 the digest is the message (RFC 8463 §3).
func sign(key crypto.Signer, text string) string {
	digest := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch key := key.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, digest[:])
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	default:
		panic(fmt.Sprintf("reference: no key of type %T", key))
	}
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}
