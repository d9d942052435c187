package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postseal"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// facts is the JSON of a report without what a re-run cannot have: its cost, and the local part
// of i=, which a bundle omits.
func facts(t *testing.T, r *postseal.Report, private bool) map[string]any {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "cost")
	if spf, ok := m["spf"].([]any); ok && !private {
		for _, s := range spf {
			delete(s.(map[string]any), "explanation") // may name the local part of the sender
		}
	}
	for _, s := range m["dkim"].([]any) {
		if s := s.(map[string]any); !private {
			delete(s, "auid")
			delete(s, "problem") // may say where in a text that is omitted
			names, _ := s["signed_fields"].([]any)
			for i, name := range names {
				if !isWord(name.(string)) {
					names[i] = omitted
				}
			}
		}
	}
	return m
}

// rerun checks that the bundles of a verdict come to the same verdict.
func rerun(t *testing.T, v *postseal.Verifier, r *postseal.Report, msg []byte) {
	t.Helper()
	for name, o := range map[string]Options{"default": {}, "private": {Private: true}, "message": {Message: msg}} {
		text := Of(r, v, o).Format()
		b, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		again, err := b.Run(t.Context())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if missing := Missing(again); len(missing) > 0 {
			if name != "default" || len(r.SPF[0].LocalPartNames) == 0 { // those names are omitted
				t.Errorf("%s: missing %q", name, missing)
			}
			continue
		}
		if wrong := b.Check(again); len(wrong) > 0 {
			t.Errorf("%s: %q", name, wrong)
		}
		private := o.Private || o.Message != nil
		want, got := facts(t, r, private), facts(t, again, private)
		if !private { // local parts are omitted
			if slices.ContainsFunc(r.Headers.Remove, func(h postseal.HeaderRef) bool { return !isWord(h.Name) }) {
				delete(want["headers"].(map[string]any), "remove")
				delete(got["headers"].(map[string]any), "remove")
			}
			delete(want, "envelope")
			delete(got, "envelope")
			if e := b.Envelope; e.From == omitted || strings.Contains(e.From, "@(") || strings.Contains(e.Helo, "@") { // names that are not domains are omitted
				delete(want, "spf") // its words are among what the bundle expects
				delete(got, "spf")
				delete(want["headers"].(map[string]any), "add")
				delete(got["headers"].(map[string]any), "add")
				delete(want["decision"].(map[string]any), "reply")
				delete(got["decision"].(map[string]any), "reply")
			}
			if strings.Contains(string(b.headerText()), "b=("+omitted) { // and so is header.b
				delete(want["headers"].(map[string]any), "add")
				delete(got["headers"].(map[string]any), "add")
			}
		}
		if o.Message != nil { // found from the message again
			delete(want, "ref")
			delete(got, "ref")
			delete(want, "headers")
			delete(got, "headers")
			delete(want["decision"].(map[string]any), "reply")
			delete(got["decision"].(map[string]any), "reply")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the verdict of the bundle differs (-verdict +bundle):\n%s\n%s", name, diff, text)
		}
	}
}

// TestVectorsRerun: the bundle of every vector, made from its verdict, gives that verdict.
func TestVectorsRerun(t *testing.T) {
	files, err := filepath.Glob("../testdata/vectors/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors found: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			c, err := b.Config()
			if err != nil {
				t.Fatal(err)
			}
			v, err := postseal.New(c)
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.RunWith(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			rerun(t, v, r, b.Message)
		})
	}
}

func sampleVerifier(t *testing.T) *postseal.Verifier {
	t.Helper()
	zones, err := filepath.Glob("../testdata/zones/*.zone")
	if err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.ParseFiles(zones...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: "mx.example.net",
		Now: func() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func samples(t *testing.T, each func(t *testing.T, msg []byte)) {
	files, err := filepath.Glob("../testdata/mail/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mail found: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			msg, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			each(t, msg)
		})
	}
}

func verifyFrom(t *testing.T, v *postseal.Verifier, from string, msg []byte) *postseal.Report {
	t.Helper()
	s := v.Session(context.Background(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:0")})
	s.Helo("out.acme.test")
	r, err := s.Verify(t.Context(), from, []string{"erin.secret@example.net"}, bytes.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSamplesRerun(t *testing.T) {
	v := sampleVerifier(t)
	samples(t, func(t *testing.T, msg []byte) {
		for _, from := range []string{"", "bounce@acme.test", `"odd local"@acme.test`} {
			rerun(t, v, verifyFrom(t, v, from, msg), msg)
		}
	})
}

// TestPrivacy: by default a bundle contains no local part, no subject and no octet of the body.
func TestPrivacy(t *testing.T) {
	const secret = "Zq7Secret"
	header := "From: \"" + secret + "\" <" + secret + "@acme.test>\r\nSubject: " + secret + "\r\nTo: " + secret + "@example.net (" + secret + ")\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s2026; i=" + secret + "@acme.test; h=from:subject; z=Subject:" + secret + "; bh=; b=; zz=" + secret + "\r\n" +
		"Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=" + secret + "@acme.test; auth=pass smtp.auth=\"" + secret + "\"@x\r\n" +
		"ARC-Authentication-Results: i=1; a.test; spf=pass smtp.mailfrom=<" + secret + "@acme.test>\r\nReceived: from x by y for <" + secret + "@example.net>\r\n" +
		"List-Id: " + secret + " <list.acme.test>\r\nX-Note: " + secret + "\r\nResent-From: " + secret + "@a.test\r\n"
	zone, err := dnstest.Parse("macro.test. TXT \"v=spf1 exists:%{l}.u.macro.test exists:%{s}.s.macro.test -all exp=%{l}.exp.macro.test\"\n*.u.macro.test. TXT x\n" +
		"*.exp.macro.test. TXT \"%{s} may not\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{secret + "@macro.test", "<" + secret + "@macro.test>", `"` + secret + `"@macro.test`} {
		r := verifyFrom(t, v, from, []byte(header+"\r\n"+secret+" body\r\n"))
		text := string(Of(r, v, Options{}).Format())
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("from %q: the bundle tells the secret:\n%s", from, text)
		}
		if !strings.Contains(string(Of(r, v, Options{Private: true}).Format()), secret) {
			t.Error("a private bundle lacks the local part")
		}
	}
}

// TestBeyondLimitRerun: the bundle of a message beyond a limit comes to its verdict, although
// the fields over the limit are not kept.
func TestBeyondLimitRerun(t *testing.T) {
	v := sampleVerifier(t)
	msg := []byte("From: a@acme.test\r\n" + strings.Repeat("X: y\r\n", 2500) + "X-Postseal-Verdict: accept\r\n\r\nbody\r\n")
	r := verifyFrom(t, v, "bounce@acme.test", msg)
	for _, o := range []Options{{}, {Private: true}, {Message: msg}} {
		b, err := Parse(Of(r, v, o).Format())
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if wrong := b.Check(again); len(wrong) > 0 || again.Limit != r.Limit {
			t.Errorf("%q, limit %q", wrong, again.Limit)
		}
	}
}

// TestManySignatures: of signatures beyond those that are read a bundle keeps the place alone, wherever the
// author's own stands among them, and comes to the same verdict.
func TestManySignatures(t *testing.T) {
	v := sampleVerifier(t)
	junk := func(n int) string {
		return strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=junk.test; s=k1; h=From:Subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n", n)
	}
	own := "DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s2026; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
	for name, header := range map[string]string{"below": junk(1500) + own, "between": junk(700) + own + junk(700), "above": own + junk(1500), "own alone": strings.Repeat(own, 1500)} {
		t.Run(name, func(t *testing.T) {
			msg := []byte(header + "From: a@acme.test\r\n\r\nbody\r\n")
			r := verifyFrom(t, v, "bounce@acme.test", msg)
			rerun(t, v, r, msg)
			if got := len(Of(r, v, Options{}).Format()); got > 300<<10 || name != "own alone" && got > 140<<10 {
				t.Errorf("the bundle has %d octets", got)
			}
		})
	}
}

// TestMissing: a bundle without the answer to a question says so, and the verdict is not
// that of NXDOMAIN.
func TestMissing(t *testing.T) {
	v := sampleVerifier(t)
	samples(t, func(t *testing.T, msg []byte) {
		b := Of(verifyFrom(t, v, "bounce@acme.test", msg), v, Options{})
		b.Zone = "; RECORDED\n"
		r, err := b.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(Missing(r)) == 0 || r.SPF[0].Code != "temperror" {
			t.Errorf("missing %q, spf %s", Missing(r), r.SPF[0].Code)
		}
	})
}

// FuzzParse: no bundle panics, and what is read, written again, reads the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("now: 2026-01-05T00:00:00Z\n-- envelope --\nip 192.0.2.1 helo \"a b\" from <a@b.test>\n-- header --\nFrom: a@b.test\n-- evidence --\nauthor b.test\nbody 3\nbody-hash relaxed all 3 beyond\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(b.Format())
		if err != nil {
			t.Fatalf("%v:\n%s", err, b.Format())
		}
		if !bytes.Equal(b.Format(), again.Format()) {
			t.Errorf("%s\nreads as\n%s", b.Format(), again.Format())
		}
		if diff := cmp.Diff(b.Envelope, again.Envelope, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }), cmp.AllowUnexported(Envelope{})); diff != "" {
			t.Error(diff)
		}
	})
}
