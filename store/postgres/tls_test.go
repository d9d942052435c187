package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// TestRemoteNeedsTLS: a database on another host is not reached without TLS, unless the URL says
// so. The addresses are for documentation: no connection is made.
func TestRemoteNeedsTLS(t *testing.T) {
	for _, c := range []struct {
		address string
		refused bool
	}{
		{"postgres://u:secret@192.0.2.1/db", true},
		{"postgres://u:secret@192.0.2.1/db?sslmode=prefer", true},
		{"postgres://u:secret@192.0.2.1/db?sslmode=allow", true},
		{"postgres://u:secret@localhost,192.0.2.1/db", true},
		{"postgres://u:secret@127.0.0.1:5432,192.0.2.1:5432/db?sslmode=prefer", true},
		{"postgres://u:secret@/db?host=192.0.2.1", true},
		{"postgres://u:secret@192.0.2.1/db?sslmode=disable", false},
		{"postgres://u:secret@192.0.2.1/db?sslmode=require", false},
		{"postgres://u:secret@192.0.2.1/db?sslmode=verify-full", false},
		{"postgres://u:secret@127.0.0.1/db", false},
		{"postgres://u:secret@[::1]/db", false},
		{"postgres://u:secret@/db?host=/run/postgresql", false},
	} {
		pool, err := postgres.Pool(t.Context(), c.address, 1)
		if pool != nil {
			pool.Close()
		}
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.address, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "sslmode=verify-full") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", c.address, err)
		}
	}
}

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// server returns a certificate for an address and its key.
func (a *authority) server(t *testing.T, ip string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// TestTLS: sslmode=verify-full reaches a server with the right certificate over TLS, migrations
// included, and no other server.
func TestTLS(t *testing.T) {
	pgtest.Long(t)
	s := pgtest.Begin(t)
	ca := newAuthority(t)
	s.UseTLS(t, ca.server)
	full := func(ca string) string {
		return strings.Replace(s.Database(t, s.Addr), "sslmode=disable", "sslmode=verify-full&sslrootcert="+url.QueryEscape(ca), 1)
	}
	address := full(ca.file)
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var encrypted bool
	if err := c.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("the connection is not encrypted: %v", err)
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"another authority": full(newAuthority(t).file),
		"another name":      strings.Replace(address, s.Addr, "localhost:"+port, 1),
	} {
		if db, err := postgres.Open(t.Context(), address, postgres.Options{}); err == nil {
			db.Close()
			t.Errorf("%s: connected", name)
		}
	}
}
