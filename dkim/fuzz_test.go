package dkim_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"postseal/dkim"
	"postseal/domain"
	"postseal/internal/core/signature"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

// FuzzParseSignature: no value panics, and what is read keeps the bounds of RFC 6376 §3.5.
func FuzzParseSignature(f *testing.F) {
	for _, seed := range []string{
		"v=1; a=rsa-sha256; c=relaxed/relaxed; d=acme.test; s=s; h=From:To; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=QUJD",
		"v=1;a=ed25519-sha256;d=b\u00fccher.test;s=s;i=a=40b@b\u00fccher.test;l=99999999999999999999;t=1;x=2;q=dns/txt;h=from;bh=;b=", ";;", "b=\r\n", "i==", "i==4", "l=-1", "h=:", "z=|",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := signature.ParseSignature(value)
		if err != nil {
			return
		}
		if s.Domain == "" || s.Selector == "" || len(s.B) == 0 || len(s.BodyHash) != 32 || !s.Identity.Within(s.Domain) || len(s.Names) == 0 || s.Length < -1 {
			t.Errorf("%q is taken as %+v", value, s)
		}
		for _, n := range []domain.Name{s.Domain, s.Selector, s.Identity} {
			if p, err := domain.Parse(string(n)); err != nil || p != n {
				t.Errorf("%q: %q is no name", value, n)
			}
		}
	})
}

// FuzzParseKey: no record panics, also when it is used.
func FuzzParseKey(f *testing.F) {
	key := reference.Ed25519("x")
	for _, seed := range []string{reference.Record(key), "v=DKIM1; h=sha256:sha1; s=email; t=y:s; p=" + reference.PublicText(rsaKey(f)), "p=", "p=MA==", "k=rsa; p=MAwwBwYDK2VwBQA="} {
		f.Add(seed)
	}
	digest, sig := make([]byte, 32), make([]byte, 256)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := signature.ParseKey(text)
		if err != nil {
			return
		}
		for _, a := range []string{"rsa-sha256", "ed25519-sha256"} {
			if reason := k.Usable(a, "a.test", "a.test", dkim.DefaultKeyBits); reason == "" && (k.Verifies(digest, sig) || k.Verifies(digest, nil)) {
				t.Errorf("%q verifies nothing", text)
			}
		}
	})
}

// fuzzed makes a message of any octets: fields that a splitter takes as such.
func fuzzed(from, subject, body string) string {
	return "From:" + fold(from) + " a@acme.test\r\nSubject:" + fold(subject) + "\r\nsubject :" + fold(subject+from) + "\r\n\r\n" + body
}

// fold makes a line ending of any text a fold.
func fold(s string) string {
	s = strings.NewReplacer("\r", "", "\n", "\r\n ").Replace(s)
	return strings.TrimSuffix(s, "\r\n ")
}

// FuzzSigned: what lab/reference signs verifies, in any canonicalization and however the message is
// cut into pieces; one octet more in the body, and it does not.
func FuzzSigned(f *testing.F) {
	for _, seed := range [][3]string{{"", "", ""}, {" x\t", "a \n b", "a  b \r\n\r\n\t\r\nc\r\n\r\n"}, {"\x00\xff", "\u00a0", " \r\r\n\n\r"}, {"", "", "\r\n\r\n"},
		{"a\nb", "  ", strings.Repeat("x  y\t\r\n", 30)}} {
		f.Add(seed[0], seed[1], seed[2], uint64(1))
	}
	key := reference.Ed25519("acme.test")
	z, err := dnstest.Parse(keyAt("s._domainkey.acme.test", reference.Record(key)) + "\n")
	if err != nil {
		f.Fatal(err)
	}
	v := dkim.Verifier{Resolver: z, Now: clock, AllowPartialBody: true}
	f.Fuzz(func(t *testing.T, from, subject, body string, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		text := fuzzed(from, subject, body)
		for _, c := range [][2]string{{"simple", "simple"}, {"simple", "relaxed"}, {"relaxed", "simple"}, {"relaxed", "relaxed"}} {
			s := reference.DKIM("acme.test", "s", key).With("From:To:Subject:Date", "From:Subject:Subject:Subject").Canonical(c[0], c[1])
			s.Names = []string{"From", "Subject", "Subject"}
			if canonical := reference.Body(c[1], body); len(canonical) > 0 && random.IntN(2) == 0 {
				s.Length = 1 + random.IntN(len(canonical))
				s = s.With("v=1;", fmt.Sprintf("v=1; l=%d;", s.Length))
			}
			signed := s.Sign(text)
			if got := inPieces(t, v, signed, random); got != "pass Valid" {
				t.Errorf("%v of %q: got %s", c, text, got)
			}
			if s.Length < 0 {
				if got := inPieces(t, v, signed+"x", random); got != "fail BodyHashMismatch" {
					t.Errorf("%v of %q and an octet more: got %s", c, text, got)
				}
			}
		}
	})
}

// inPieces verifies text in pieces of random sizes.
func inPieces(t *testing.T, v dkim.Verifier, text string, random *rand.Rand) string {
	t.Helper()
	got, err := v.Verify(t.Context(), &pieces{strings.NewReader(text), random})
	if err != nil {
		t.Fatal(err)
	}
	return outcome(got)
}

type pieces struct {
	r      io.Reader
	random *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	return p.r.Read(b[:min(len(b), 1+p.random.IntN(1+p.random.IntN(70)))])
}

// TestIndependentSigner: what go-msgauth signs verifies, for every pair of
// canonicalizations and both algorithms, octet by octet too.
func TestIndependentSigner(t *testing.T) {
	rsa, ed := rsaKey(t), reference.Ed25519("acme.test")
	z := zone(t, keyAt("rsa._domainkey.acme.test", reference.Record(rsa)), keyAt("ed._domainkey.acme.test", reference.Record(ed)))
	texts := []string{plain, "From: a@acme.test\r\n\r\n", "From: a@acme.test\r\nSubject: a\r\n\tb \r\nX: \r\n\r\n\r\n \r\nx \t y\r\n\r\n", "From: a@acme.test\r\n\r\nno end"}
	for _, text := range texts {
		for _, header := range []msgauth.Canonicalization{msgauth.CanonicalizationSimple, msgauth.CanonicalizationRelaxed} {
			for _, body := range []msgauth.Canonicalization{msgauth.CanonicalizationSimple, msgauth.CanonicalizationRelaxed} {
				for _, selector := range []string{"rsa", "ed"} {
					o := &msgauth.SignOptions{Domain: "acme.test", Selector: selector, Signer: rsa, HeaderCanonicalization: header, BodyCanonicalization: body}
					if selector == "ed" {
						o.Signer = ed
					}
					var signed bytes.Buffer
					if err := msgauth.Sign(&signed, strings.NewReader(text), o); err != nil {
						t.Fatal(err)
					}
					v := dkim.Verifier{Resolver: z} // the signer reads the real clock
					for way, r := range map[string]io.Reader{"whole": bytes.NewReader(signed.Bytes()), "octet by octet": iotest.OneByteReader(bytes.NewReader(signed.Bytes()))} {
						if got, err := v.Verify(t.Context(), r); err != nil || outcome(got) != "pass Valid" {
							t.Errorf("%s/%s %s %q, %s: got %s %v", header, body, selector, text, way, outcome(got), err)
						}
					}
				}
			}
		}
	}
}
