package postseal_test

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/message"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

func misuseVerifier(t *testing.T) *postseal.Verifier {
	t.Helper()
	dns, err := dnstest.Parse("acme.test. 300 TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.acme.test. 300 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: dns, Enforce: postseal.Strict})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var misuseConn = postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}

// TestForgottenInput: what a caller forgot is an error, never a panic.
func TestForgottenInput(t *testing.T) {
	v, ctx, text := misuseVerifier(t), t.Context(), func() *strings.Reader { return strings.NewReader("From: a@acme.test\r\n\r\nhi\r\n") }
	ended, cancel := context.WithCancel(ctx)
	cancel()
	zone, _ := dnstest.Parse("")
	tests := []struct {
		name string
		call func() error
	}{
		{"nil Verifier", func() error { _, err := postseal.VerifyReader(ctx, nil, misuseConn, "", "", text()); return err }},
		{"zero Verifier", func() error {
			_, err := postseal.VerifyReader(ctx, new(postseal.Verifier), misuseConn, "", "", text())
			return err
		}},
		{"nil reader", func() error { _, err := postseal.VerifyReader(ctx, v, misuseConn, "", "", nil); return err }},
		{"cancelled", func() error { _, err := postseal.VerifyReader(ended, v, misuseConn, "", "", text()); return err }},
		{"nil reader of a Session", func() error { _, err := v.Session(ctx, misuseConn).Verify(ctx, "", nil, nil); return err }},
		{"no Resolver", func() error { _, err := postseal.New(postseal.Config{}); return err }},
		{"dkim: nil Verifier", func() error { _, err := (*dkim.Verifier)(nil).Verify(ctx, text()); return err }},
		{"dkim: zero Verifier", func() error { _, err := new(dkim.Verifier).Verify(ctx, text()); return err }},
		{"dkim: nil reader", func() error { _, err := (&dkim.Verifier{Resolver: zone}).Verify(ctx, nil); return err }},
		{"dkim: cancelled", func() error { _, err := (&dkim.Verifier{Resolver: zone}).Verify(ended, text()); return err }},
		{"arc: nil Verifier", func() error { _, err := (*arc.Verifier)(nil).Verify(ctx, text()); return err }},
		{"arc: nil reader", func() error { _, err := (&arc.Verifier{Resolver: zone}).Verify(ctx, nil); return err }},
		{"arc: cancelled", func() error { _, err := (&arc.Verifier{Resolver: zone}).Verify(ended, text()); return err }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestWithoutResolver: what cannot be asked is temperror, not absent.
func TestWithoutResolver(t *testing.T) {
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Sender: "a@acme.test"}
	for _, c := range []*spf.Checker{nil, {}} {
		if r := c.Check(t.Context(), q); r.Code != spf.TempError {
			t.Errorf("spf = %s %s", r.Code, r.Reason)
		}
	}
	if r := new(dmarc.Evaluator).Evaluate(t.Context(), "acme.test", nil); r.Code != dmarc.TempError {
		t.Errorf("dmarc = %s %s", r.Code, r.Reason)
	}
	x := new(dkim.Verifier).Begin(t.Context())
	f, _ := message.ParseField([]byte("DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=k; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA"))
	if err := x.Field(f); err != nil {
		t.Fatal(err)
	}
	if r := x.Finish(); len(r) != 1 || r[0].Code != dkim.TempError && r[0].Code != dkim.Fail {
		t.Errorf("dkim = %+v", r)
	}
	if _, err := x.Write(nil); err == nil {
		t.Error("Write after Finish")
	}
	if x.Field(f) == nil || x.EndHeader() == nil {
		t.Error("Field after the end")
	}
}

// TestBrackets: a path means the same with the angle brackets of SMTP and without.
func TestBrackets(t *testing.T) {
	v := misuseVerifier(t)
	for _, path := range []string{"a@acme.test", "<a@acme.test>"} {
		r, err := postseal.VerifyReader(t.Context(), v, misuseConn, "mx.acme.test", path, strings.NewReader("From: a@acme.test\r\n\r\nhi\r\n"))
		if err != nil || r.SPF[0].Code != spf.Pass || r.ReversePath != "a@acme.test" || r.Decision.Action != postseal.Accept {
			t.Errorf("%s: %v %v", path, r, err)
		}
		check := v.StartSPF(t.Context(), misuseConn, "mx.acme.test", path)
		if got := check.First(t.Context()); got.Code != spf.Pass {
			t.Errorf("%s: StartSPF = %+v", path, got)
		}
		if got := (&spf.Checker{Resolver: v.Config().Resolver}).Check(t.Context(), spf.Request{IP: misuseConn.Remote.Addr(), Sender: path}); got.Code != spf.Pass {
			t.Errorf("%s: Check = %+v", path, got)
		}
	}
}

// TestLineEnds: LF alone is read as CRLF, a mixture is refused, and Session.Verify changes
// nothing.
func TestLineEnds(t *testing.T) {
	long := strings.Repeat("x", 8189)
	tests := []struct {
		name, text string
		want       postseal.Reason
	}{
		{"CRLF", "From: a@acme.test\r\n\r\nhi\r\n", postseal.DMARCPass},
		{"LF", "From: a@acme.test\n\nhi\n", postseal.DMARCPass},
		{"LF, no body", "From: a@acme.test\n", postseal.DMARCPass},
		{"LF, then CRLF in the header section", "From: a@acme.test\nTo: b@acme.test\r\n\r\nhi\r\n", postseal.AuthorMalformed},
		{"CRLF, then LF in the header section", "From: a@acme.test\r\nTo: b@acme.test\nCc: c@acme.test\r\n\r\nhi\r\n", postseal.AuthorMalformed},
		{"LF in a body of CRLF", "From: a@acme.test\r\n\r\nhi\nho\r\n", postseal.DMARCPass},
		{"long lines", "From: a@acme.test\nX: " + long + "\nY: " + long + "\n\nhi\n", postseal.DMARCPass},
		{"CRLF on the edge of the buffer", "From: a@acme.test\nX: " + strings.Repeat("x", 4096-4) + "\r\n\r\n", postseal.AuthorMalformed},
	}
	v := misuseVerifier(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := postseal.VerifyReader(t.Context(), v, misuseConn, "mx.acme.test", "a@acme.test", strings.NewReader(tt.text))
			if err != nil || r.Decision.Reason != tt.want {
				t.Fatalf("%v, %v; want %s", r, err, tt.want)
			}
		})
	}
	r, err := v.Session(t.Context(), misuseConn).Verify(t.Context(), "a@acme.test", nil, strings.NewReader("From: a@acme.test\nTo: b@acme.test\n\nhi\n"))
	if err != nil || r.Decision.Reason != postseal.AuthorMalformed {
		t.Errorf("octet for octet: %v, %v", r, err)
	}
}

// TestHelpers: reply, report and header changes in the form in which programs use them.
func TestHelpers(t *testing.T) {
	v := misuseVerifier(t)
	text := "Authentication-Results: localhost; spf=pass\r\nFrom: a@acme.test\r\nSubject: hi\r\nAuthentication-Results: other.test; spf=pass\r\n\r\nbody\r\n"
	conn := postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.9:25")}
	r, err := postseal.VerifyReader(t.Context(), v, conn, "evil.test", "a@acme.test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	reply := r.Decision.Reply
	if reply == nil || reply.EnhancedCode() != [3]int{5, 7, 26} || reply.Text() != strings.Join(reply.Lines, "\n") {
		t.Fatalf("reply = %+v", reply)
	}
	if got := (&postseal.Reply{Enhanced: "none"}).EnhancedCode(); got != [3]int{} {
		t.Errorf("EnhancedCode = %v", got)
	}
	if got, want := r.String(), `reject (dmarc.reject) from=acme.test spf=fail ("acme.test") dkim=none arc=none dmarc=fail (p=reject)`; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
	var out bytes.Buffer
	if err := r.Headers.Apply(&out, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if strings.Contains(got, "localhost; spf=pass") || !strings.Contains(got, "other.test; spf=pass") || !strings.HasPrefix(got, "Authentication-Results: localhost;") ||
		!strings.HasSuffix(got, "\r\n\r\nbody\r\n") || !strings.Contains(got, "\r\nX-Postseal-Verdict: reject; ref=") {
		t.Errorf("Apply:\n%s", got)
	}
	h := new(message.Header)
	_ = message.Stream(headerOnly{h}, strings.NewReader(got), message.Limits{})
	if refs := postseal.ForgedFields(h, "localhost"); !slices.ContainsFunc(refs, func(f postseal.HeaderRef) bool { return f.Name == "X-Postseal-Verdict" }) || len(refs) != 2 {
		t.Errorf("own fields after Apply: %v", refs)
	}
}

// headerOnly collects the header section.
type headerOnly struct{ h *message.Header }

func (s headerOnly) Field(f message.Field) error { s.h.Add(f); return nil }
func (s headerOnly) EndHeader() error            { return nil }
func (s headerOnly) Write(p []byte) (int, error) { return len(p), nil }
