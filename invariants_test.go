package postseal_test

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"

	"postseal"
	"postseal/bundle"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/secondopinion"
	"postseal/message"
	"postseal/spf"
	"postseal/testdata/vectors/attack"
)

// FuzzInvariants: a pass has an aligned identifier that some mechanism gave and that a second
// evaluator passes too, a signature that fails never makes a fail a pass, and nothing that is
// written holds a control octet but folds.
func FuzzInvariants(f *testing.F) {
	files, _ := filepath.Glob("testdata/mail/*.eml")
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "a@acme.test", "out.acme.test", "v=1; a=rsa-sha256; d=acme.test; s=s2026; h=from; bh=AAAA; b=AAAA")
	}
	entries, _ := attack.Files.ReadDir(".")
	for _, e := range entries {
		data, err := attack.Files.ReadFile(e.Name())
		if err != nil {
			f.Fatal(err)
		}
		if b, err := bundle.Parse(data); err == nil && len(b.Message) < 4<<10 {
			f.Add(b.Message, b.Envelope.From, b.Envelope.Helo, "v=1; a=ed25519-sha256; d=acme.test; s=ed2026; h=from:from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA")
		}
	}
	v := verifier(f, postseal.Config{AuthservID: "mx.example.net", Enforce: postseal.Strict})
	f.Fuzz(func(t *testing.T, raw []byte, from, helo, signature string) {
		msg, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		before := verdictOf(t, v, from, helo, msg)
		passNeedsIdentifier(t, v, before, msg)
		cleanOutput(t, before)
		// One field and no more: what ends it would be another message.
		one := strings.NewReplacer("\r", "", "\n", "").Replace(signature)
		signed := append([]byte("DKIM-Signature: "+one+"\r\n"), msg...)
		after := verdictOf(t, v, from, helo, signed)
		passNeedsIdentifier(t, v, after, signed)
		cleanOutput(t, after)
		if len(after.DKIM) == 0 || after.DKIM[0].Code == dkim.Pass || after.Limit != "" {
			return
		}
		if before.DMARC.Code != dmarc.Pass && after.DMARC.Code == dmarc.Pass {
			t.Fatalf("a signature that is %s made dmarc=%s a pass:\n%s", after.DKIM[0].Code, before.DMARC.Code, one)
		}
	})
}

func verdictOf(t *testing.T, v *postseal.Verifier, from, helo string, msg []byte) *postseal.Report {
	t.Helper()
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:25")}, helo, from, bytes.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// passNeedsIdentifier is alignment once more, by another way: the registrable domain of the
// public suffix list, which the samples do not contradict, and other libraries for SPF and
// DKIM, whose known differences have their rules.
func passNeedsIdentifier(t *testing.T, v *postseal.Verifier, r *postseal.Report, msg []byte) {
	t.Helper()
	if (r.DMARC.Code == dmarc.Pass) != (len(r.DMARC.Aligned) > 0) {
		t.Fatalf("dmarc=%s with %v", r.DMARC.Code, r.DMARC.Aligned)
	}
	if r.DMARC.Code != dmarc.Pass {
		return
	}
	if r.Author.Reason != "" || r.Limit != "" {
		t.Fatalf("dmarc=pass for an author that is %s, %s", r.Author.Reason, r.Limit)
	}
	if opinions := secondopinion.Compare(t.Context(), v.Config().Resolver, r, msg); !slices.ContainsFunc(r.DMARC.Aligned, func(a dmarc.Identifier) bool { return seconded(opinions, a) }) {
		t.Fatalf("%v is aligned, and no other library passes it: %v", r.DMARC.Aligned, opinions)
	}
	for _, a := range r.DMARC.Aligned {
		given := a.Method == "spf" && r.SPF[0].Code == spf.Pass && r.SPF[0].Domain == a.Domain ||
			a.Method == "dkim" && slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool { return s.Code == dkim.Pass && s.Domain == a.Domain })
		if !given {
			t.Fatalf("%s=%s is aligned, and nothing gave it", a.Method, a.Domain)
		}
		if organization(a.Domain) != organization(r.DMARC.AuthorDomain) {
			t.Fatalf("%s is aligned with %s", a.Domain, r.DMARC.AuthorDomain)
		}
	}
}

// seconded reports whether another library passes what is aligned, was not asked, or differs
// by a rule that is known.
func seconded(opinions []secondopinion.Opinion, a dmarc.Identifier) bool {
	return slices.ContainsFunc(opinions, func(o secondopinion.Opinion) bool {
		return o.Method == a.Method && o.Domain == a.Domain && o.Ours == "pass" && o.Known()
	})
}

func organization(name string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

func cleanOutput(t *testing.T, r *postseal.Report) {
	t.Helper()
	for _, h := range r.Headers.Add {
		for line := range strings.SplitSeq(h.Name+":"+h.Value, "\r\n\t") {
			if len(line) > 998 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Fatalf("%s: %q", h.Name, h.Value)
			}
		}
	}
	if r.Decision.Reply == nil {
		return
	}
	for _, l := range r.Decision.Reply.Lines {
		if len(l) > 500 || strings.ContainsFunc(l, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("reply %q", l)
		}
	}
}
