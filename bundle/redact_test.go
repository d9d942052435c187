package bundle

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postseal"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// person is a local part that is neither a domain name nor a word nor base64, so that it may stay
// nowhere.
const person = "Zq7!Secret"

// addresses are the forms in which mail systems write an address into a path.
var addresses = []string{
	person + "@acme.test", `"` + person + `"@acme.test`, `"a ` + person + `\" b"@acme.test`, "<" + person + "@acme.test>",
	"list-bounces+" + person + "=acme.test@lists.test", "bounce-1-" + person + "=acme.test@lists.test", // VERP
	"SRS0=HHH=TT=acme.test=" + person + "@fwd.test", "SRS1=HHH=fwd.test==HHH=TT=acme.test=" + person + "@fwd2.test",
	"SRS0+HHH=TT=acme.test=" + person + "@fwd.test", "prvs=1234567890=" + person + "@acme.test", "btv1==1234567890==" + person + "@acme.test", // BATV
	"@a.test,@b.test:" + person + "@acme.test", person + "%acme.test@relay.test", "host!" + person + "@acme.test", // routes
	person + "@acme.test@relay.test", person, person + "@", person + "@[192.0.2.1]", person + "@" + person, person + " @acme.test", person + "\u00e9@acme.test",
}

// fields are places of a header section, each with %s for an address.
var fields = []string{
	"From: %s", "To: x <%s>, %s", "Subject: %s", "Reply-To: %s", "%s: x", "X-%s: x", "X-Postseal-%s: x", "X-Postseal-Verdict: %s", "Delivered-To: %s",
	"Received: from %s (%s [192.0.2.9]) by %s for <%s>; x", "Received: by mx.acme.test with %s", "List-Id: %s <list.acme.test>", "List-Id: <%s>", "Sender: %s",
	"Resent-From: %s", "Precedence: %s", "Content-Type: text/calendar; name=%s", "Content-Class: %s",
	"Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=%s", "Authentication-Results: %s; none", "Authentication-Results: x.test (%s) 1; spf=pass (%s) reason=%s",
	"Authentication-Results: x.test; auth=pass smtp.auth=%s", "Authentication-Results: x.test; auth=pass (LOGIN) smtp.auth = \"%s\" smtp.mailfrom=%s", "Authentication-Results: x.test; %s=pass",
	"Authentication-Results: x.test; spf=%s", "Authentication-Results: x.test; dkim=pass header.i=%s header.d=%s header.s=%s header.b=%s header.a=%s", "Authentication-Results: x.test; x-mine=pass x.y=%s",
	"Authentication-Results: %s spf=pass", "Authentication-Results: x.test; spf=pass envelope-from=%s; helo=%s", "Authentication-Results: mx.example.net; dmarc=pass (%s",
	"ARC-Authentication-Results: i=1; x.test; dmarc=pass header.from=%s; auth=pass smtp.auth=%s", "ARC-Authentication-Results: i=1 (%s); %s", "ARC-Authentication-Results: %s",
	"Received-SPF: pass (x.test: domain of %s designates 192.0.2.1) receiver=%s; client-ip=192.0.2.1; envelope-from=%s; helo=%s", "Received-SPF: %s", "Received-SPF: pass receiver=mx.example.net identity=\"%s\"",
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=acme.test; s=s; i=%s; h=from:%s; z=From:%s; bh=eA==; b=eA==; %s=x; note=%s",
	"DKIM-Signature: v=%s; a=%s; c=%s/%s; d=%s; s=%s; q=%s; t=%s; x=%s; l=%s; h=%s; bh=%s; b=%s", "DKIM-Signature: d=acme.test; %s", "DKIM-Signature: %s", "DKIM-Signature: v=1; d=%s; d=%s",
	"ARC-Seal: i=1; a=rsa-sha256; cv=%s; d=acme.test; s=%s; t=%s; b=%s", "ARC-Message-Signature: i=%s; a=rsa-sha256; d=acme.test; s=s; h=from:%s; bh=eA==; b=eA==; z=%s",
}

// told returns the text of a bundle with its base64 parts decoded.
func told(t *testing.T, data []byte) string {
	t.Helper()
	b, err := Parse(data)
	if err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	return string(data) + string(b.Message) + string(b.headerText()) + fmt.Sprintf("%+v", b.Envelope)
}

// TestRedaction: wherever an address stands, in whatever form, no local part is in a bundle that
// is not private; and the bundle comes to the same verdict.
func TestRedaction(t *testing.T) {
	zone, err := dnstest.Parse("acme.test. TXT \"v=spf1 exists:%{s}.s.test exists:%{l}.l.test exists:%{h}.h.test exists:%{L-}.%{Hr}.x.test -all\"\nlists.test. TXT \"v=spf1 +all\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: "mx.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7208, 8601))
	any := func() string { return addresses[random.IntN(len(addresses))] }
	fill := func(form string) string {
		for strings.Contains(form, "%s") {
			form = strings.Replace(form, "%s", any(), 1)
		}
		return form
	}
	checked := 0
	check := func(name, from, helo, header string) {
		msg := []byte(header + "\r\n\r\n" + person + "\r\n")
		s := v.Session(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:0")})
		s.Helo(helo)
		r, err := s.Verify(t.Context(), from, []string{any()}, bytes.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		if text := told(t, Of(r, v, Options{}).Format()); strings.Contains(strings.ToLower(text), strings.ToLower(person)) {
			t.Errorf("%s: from %q helo %q\n%s\nthe bundle tells it:\n%s", name, from, helo, header, text)
		}
		if checked++; checked%4 == 0 {
			rerun(t, v, r, msg)
		}
	}
	for _, a := range addresses {
		check("path", a, "mx.acme.test", "From: a@acme.test")
		if strings.Contains(a, "@") { // else it is the name of a host
			check("helo", "x@acme.test", a, "From: a@acme.test")
			check("null path", "", a, "From: a@acme.test")
		}
		for _, f := range fields {
			check("field", "x@acme.test", "mx.acme.test", "From: a@acme.test\r\n"+strings.ReplaceAll(f, "%s", a))
		}
	}
	for range 1000 {
		lines := []string{"From: a@acme.test"}
		for range 1 + random.IntN(6) {
			line := fill(fields[random.IntN(len(fields))])
			name, value, _ := strings.Cut(line, ":")
			lines = append(lines, name+":"+strings.ReplaceAll(string(mutate(random, []byte(value))), person[:4], person))
		}
		check("random", string(mutate(random, []byte(any()))), "x@"+any(), strings.Join(lines, "\r\n"))
	}
}

var localParts = regexp.MustCompile(`([^\s<>@,;:()\[\]"=]{3,})@`)

// TestRedactionOfRealMail: no local part of real messages is in their bundles, but for what the DNS
// publishes.
func TestRedactionOfRealMail(t *testing.T) {
	files, _ := filepath.Glob("../testdata/mail/*.eml")
	indirect, _ := filepath.Glob("../testdata/indirect/*.eml")
	reported, _ := filepath.Glob("../../shared/cases/verify/*.eml")
	v := sampleVerifier(t)
	parts := 0
	for _, file := range append(append(files, indirect...), reported...) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		b := Of(verifyFrom(t, v, "bounce.of+dana=acme.test@acme.test", msg), v, Options{})
		b.Zone = ""
		text := told(t, b.Format())
		for _, m := range localParts.FindAllSubmatch(raw, -1) {
			if local := string(m[1]); local != omitted {
				parts++
				if strings.Contains(text, local+"@") {
					t.Errorf("%s: the bundle tells %q", file, local)
				}
			}
		}
	}
	t.Logf("%d local parts", parts)
	if parts < 50 {
		t.Error("too few to show anything")
	}
}

// TestHeloComesBack: a private bundle gives every HELO name and path back octet for octet, any bundle a HELO
// name without "@".
func TestHeloComesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(5321, 4))
	v := sampleVerifier(t)
	names := []string{"", " ", `"`, `"a"`, `"a b`, "a b", "ip", "-- zone --", "\r\n-- message --\r\n", "\x00", "\xff", "\u00e9", "unknown", "<>", "[192.0.2.1]", "[IPv6:::1]", "#", "helo", "\\", `\"`, "a\tb"}
	for range 400 {
		names = append(names, string(mutate(random, []byte(names[random.IntN(len(names))]+names[random.IntN(len(names))]))))
	}
	for _, name := range names {
		s := v.Session(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:0")})
		s.Helo(name)
		r, err := s.Verify(t.Context(), name+"@acme.test", nil, strings.NewReader("From: a@acme.test\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {Private: true}} {
			b, err := Parse(Of(r, v, o).Format())
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if got := b.Envelope.Helo; got != r.Helo && (o.Private || !strings.Contains(name, "@")) {
				t.Errorf("private %t: HELO %q came back as %q", o.Private, r.Helo, got)
			}
			if got := b.Envelope.From; o.Private && got != r.ReversePath {
				t.Errorf("path %q came back as %q", r.ReversePath, got)
			}
		}
	}
}
