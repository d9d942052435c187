package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postseal"
	"postseal/resolver/dnstest"
)

func TestVerify(t *testing.T) {
	dns, err := dnstest.Parse("_dmarc.bank.test. 300 TXT \"v=DMARC1; p=none\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.eml")
	if err := os.WriteFile(file, []byte("From: a@bank.test\nSubject: hi\n\nhello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := verify(t.Context(), v, []string{file, "missing.eml"})
	if !strings.Contains(lines[0], "from=bank.test") || !strings.Contains(lines[1], "missing.eml") {
		t.Errorf("%q", lines)
	}
}
