package dkim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"postseal/dkim"
)

func publicKey(t *testing.T, bits int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestLint(t *testing.T) {
	const ed = "zRpa9m1VmPiBZ64+Rsm1U4Je3PzLcOY9FJkPcR9Bodg="
	long, short := publicKey(t, 2048), publicKey(t, 1024)
	for _, test := range []struct{ text, want string }{
		{"v=DKIM1; k=rsa; p=" + long, ""},
		{"v=DKIM1; k=ed25519; p=" + ed, ""},
		{"v=DKIM1; p=" + short, "dkim.key-short"},
		{"v=DKIM1; p=", "dkim.revoked"},
		{"v=DKIM1; k=dsa; p=AAAA", "dkim.key-type"},
		{"v=DKIM1; k=rsa; t=y; p=" + long, "dkim.testing"},
		{"v=DKIM1; h=sha1; p=" + long, "dkim.hash dkim.sha1"},
		{"v=DKIM1; h=sha1:sha256; p=" + long, "dkim.sha1"},
		{"v=DKIM1; s=tlsrpt; p=" + long, "dkim.service"},
		{"v=DKIM1; g=*; p=" + long, "dkim.granularity"},
		{"p=" + long + "; v=DKIM1", "dkim.syntax"},
		{"v=DKIM1; k=rsa", "dkim.syntax"},
		{"v=spf1 -all", "dkim.syntax"},
	} {
		var ids []string
		for _, p := range dkim.Lint(test.text) {
			ids = append(ids, p.ID)
			if p.Offset < 0 || p.Offset > len(test.text) {
				t.Errorf("%.40q: offset %d is outside", test.text, p.Offset)
			}
		}
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("%.40q: got %q, want %q", test.text, got, test.want)
		}
	}
}
