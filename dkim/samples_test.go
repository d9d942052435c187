package dkim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/dkim"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// clock is that of the sample mail.
func clock() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }

func TestSamples(t *testing.T) {
	zones, err := filepath.Glob("../testdata/zones/*")
	if err != nil || len(zones) == 0 {
		t.Fatal(zones, err)
	}
	z, err := dnstest.ParseFiles(zones...)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"invoice":    "pass acme.test dkim.Valid, pass acme.test dkim.Valid",
		"newsletter": "pass bulk.test dkim.Valid, pass news.shop.example dkim.Valid",
		"list":       "pass lists.example.net dkim.Valid, fail acme.test dkim.BodyHashMismatch",
		"forged":     "",
		"keydown":    "temperror keydown.example dkim.KeyUnavailable",
		"simple":     "permerror simple.example dkim.KeyRevoked, pass simple.example dkim.Valid",
		"hostile":    "pass club.example dkim.Valid",
		"idn":        "pass xn--bcher-kva.example dkim.Valid",
	} {
		f, err := os.Open("../testdata/mail/" + name + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := (&dkim.Verifier{Resolver: z, Now: clock}).Verify(t.Context(), message.NewCRLFReader(f))
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, s := range got {
			parts = append(parts, string(s.Code)+" "+s.Domain+" "+string(s.Reason))
		}
		if strings.Join(parts, ", ") != want {
			t.Errorf("%s: got %q, want %q", name, strings.Join(parts, ", "), want)
		}
	}
}
