package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// FuzzMark: no certificate of a logo panics, and one without a logo is never without a
// problem.
func FuzzMark(f *testing.F) {
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"}, NotBefore: now, NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for _, seed := range [][]byte{one, append(append([]byte{}, one...), one...), one[:len(one)/2], []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n")} {
		f.Add(seed, der)
	}
	oid, err := asn1.Marshal(logotype)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file, der []byte) {
		r := &run{name: "a.test", report: new(Report), Auditor: &Auditor{Now: func() time.Time { return now }}}
		r.checkMark(file, nil)
		if bytes.Contains(der, oid) {
			return
		}
		if problems := r.checkMark(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil); len(problems) == 0 {
			t.Errorf("%x has no problem", der)
		}
	})
}
