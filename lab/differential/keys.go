package differential

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// testKey signs generated messages; its public half is in no DNS but that of the cases.
type testKey struct {
	private crypto.Signer
	kind    string // of k= and a=
}

// testKeys are two RSA keys of testdata/keys and two Ed25519 keys made from their names.
type testKeys struct {
	rsa     []*testKey // 2048 and 1024 bits
	ed25519 []*testKey
}

func loadKeys(dir string) (*testKeys, error) {
	k := &testKeys{}
	for _, name := range []string{"s2026._domainkey.acme.test.pem", "lists._domainkey.lists.example.net.pem"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s: no PEM", name)
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		private, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s: no RSA key", name)
		}
		k.rsa = append(k.rsa, &testKey{private, "rsa"})
	}
	for _, name := range []string{"one", "two"} {
		seed := sha256.Sum256([]byte("differential " + name))
		k.ed25519 = append(k.ed25519, &testKey{ed25519.NewKeyFromSeed(seed[:]), "ed25519"})
	}
	return k, nil
}

// public is the text of p=. pkcs1 is the RSAPublicKey of RFC 6376 §3.6.1, else an RSA key
// is a SubjectPublicKeyInfo.
func (k *testKey) public(pkcs1 bool) string {
	switch public := k.private.Public().(type) {
	case ed25519.PublicKey:
		return base64.StdEncoding.EncodeToString(public)
	case *rsa.PublicKey:
		if pkcs1 {
			return base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public))
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return ""
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	return ""
}

// sign signs a SHA-256 digest. Both algorithms are deterministic.
func (k *testKey) sign(digest []byte) []byte {
	options := crypto.SignerOpts(crypto.SHA256)
	if k.kind == "ed25519" {
		options = crypto.Hash(0) // the digest is the message (RFC 8463 §3)
	}
	sig, err := k.private.Sign(nil, digest, options)
	if err != nil {
		return nil
	}
	return sig
}
