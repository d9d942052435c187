package postseal_test

import (
	"strings"
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

// TestAddedFields: a field that a signature covers once and that is there again may be what
// readers see (RFC 6376 §8.15), unless it is a copy.
func TestAddedFields(t *testing.T) {
	key := reference.Ed25519("acme.test")
	zone, err := dnstest.Parse("s._domainkey.acme.test. 60 TXT " + reference.TXT(reference.Record(key)) + "\n_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, postseal.Config{Resolver: zone})
	signed := reference.DKIM("acme.test", "s", key).Sign("From: a@acme.test\r\nSubject: Hello  world\r\nTo: b@example.net\r\n\r\nx\r\n")
	for top, want := range map[string]string{
		"":                             "",
		"Subject: Hello  world\r\n":    "",
		"subject:Hello\r\n world \r\n": "",
		"SUBJECT: Hello world\r\nSubject: Hello world\r\n": "",
		"Subject: Hello World\r\n":                         "subject",
		"Subject: Hello world\r\nSubject: Another\r\n":     "subject",
		"Subject: Hello world\r\nTo: c@example.net\r\n":    "to",
	} {
		r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{}, "", "", strings.NewReader(top+signed))
		if err != nil {
			t.Fatal(err)
		}
		if r.DMARC.Code != dmarc.Pass {
			t.Errorf("%q: dmarc=%s", top, r.DMARC.Code)
		}
		if got := strings.Join(postseal.AddedFields(r), " "); got != want {
			t.Errorf("%q: added %q, want %q", top, got, want)
		}
	}
}
