package postseal_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/core/smtpreply"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

// draft is a message in the making: everything that the decision may depend on.
type draft struct {
	spf      string // "pass", "fail", "softfail" of a domain, or "" for none
	spfOf    string
	signed   []string // d= of signatures that hold
	broken   []string // d= of signatures that do not
	traits   string   // header fields of lists and forwarders
	policy   string   // tags of the author's record after v=
	iprev    bool
	down     string // a name whose TXT lookup fails
	enforce  postseal.Enforce
	trusted  []string
	sealedBy string
}

var domains = []string{"acme.test", "mail.acme.test", "evil.test", "lists.test"}

func (d *draft) message() string {
	text := d.traits + forwarded
	for _, s := range d.signed {
		text = reference.DKIM(s, "s", reference.Ed25519(s)).Sign(text)
	}
	for _, s := range d.broken {
		text = reference.DKIM(s, "s", reference.Ed25519("another")).Sign(text)
	}
	if d.sealedBy != "" {
		text = reference.SealAll(text, hop(d.sealedBy, "x; dmarc=pass header.from=acme.test"))
	}
	return text
}

func (d *draft) zone(t *testing.T) *dnstest.Zone {
	t.Helper()
	lines := []string{`_dmarc.acme.test. 60 TXT "v=DMARC1; ` + d.policy + `"`, "acme.test. 60 MX 10 mail.acme.test."}
	for _, name := range domains {
		lines = append(lines, "s._domainkey."+name+". 60 TXT "+reference.TXT(reference.Record(reference.Ed25519(name))))
	}
	if d.spf != "" {
		qualifier := map[string]string{"pass": "+", "fail": "-", "softfail": "~"}[d.spf]
		lines = append(lines, d.spfOf+`. 60 TXT "v=spf1 `+qualifier+`all"`)
	}
	if d.iprev {
		lines = append(lines, "7.2.0.192.in-addr.arpa. 60 PTR host.example.", "host.example. 60 A 192.0.2.7")
	} else {
		lines = append(lines, "7.2.0.192.in-addr.arpa. 60 PTR host.example.", "host.example. 60 A 192.0.2.8")
	}
	if d.down != "" {
		lines = append(lines, "; FAULT "+d.down+" TXT SERVFAIL")
	}
	z, err := dnstest.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (d *draft) decide(t *testing.T) *postseal.Report {
	t.Helper()
	v, err := postseal.New(postseal.Config{Resolver: d.zone(t), Enforce: d.enforce, TrustedSealers: d.trusted, ReplyURL: "https://mx.example.net/r",
		Now: func() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:25")}, "mx.evil.test", "x@"+d.spfOf,
		strings.NewReader(d.message()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func randomDraft(r *rand.Rand) draft {
	d := draft{spf: pick(r, "pass", "fail", "softfail", ""), spfOf: pick(r, domains...), iprev: r.IntN(2) == 0,
		policy:  pick(r, "p=reject", "p=reject; adkim=s; aspf=s", "p=quarantine", "p=none", "p=reject; t=y", "p=rejct"),
		enforce: pick(r, postseal.Observe, postseal.EnforceQuarantine, postseal.Guarded, postseal.Strict),
		traits: pick(r, "", "", "List-Id: <x.lists.test>\r\n", "List-Post: <mailto:x@lists.test>\r\n", "Precedence: bulk\r\n", "Resent-From: x@lists.test\r\n",
			"Received: a\r\nReceived: b\r\n")}
	for _, name := range domains {
		switch r.IntN(6) {
		case 0:
			d.signed = append(d.signed, name)
		case 1:
			d.broken = append(d.broken, name)
		}
	}
	if r.IntN(4) == 0 {
		d.sealedBy = pick(r, "evil.test", "lists.test")
	}
	return d
}

// severity orders actions by what they do to mail that is not wanted.
func severity(a postseal.Action) int {
	return map[postseal.Action]int{postseal.Accept: 0, postseal.Quarantine: 1, postseal.Defer: 2, postseal.Reject: 3}[a]
}

const rounds = 150

func TestPassNeedsAlignment(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		d := randomDraft(random)
		r := d.decide(t)
		aligned := d.spf == "pass" && strings.HasSuffix(d.spfOf, "acme.test") && (!strings.Contains(d.policy, "aspf=s") || d.spfOf == "acme.test")
		for _, s := range d.signed {
			aligned = aligned || strings.HasSuffix(s, "acme.test") && (!strings.Contains(d.policy, "adkim=s") || s == "acme.test")
		}
		want := dmarc.Fail
		switch {
		case d.policy == "p=rejct":
			want = dmarc.PermError
		case aligned:
			want = dmarc.Pass
		}
		if r.DMARC.Code != want || (want == dmarc.Pass) != (len(r.DMARC.Aligned) > 0) {
			t.Fatalf("%+v: dmarc=%s aligned %v, want %s", d, r.DMARC.Code, r.DMARC.Aligned, want)
		}
	}
}

// TestForgeable: whatever anyone can write into a message lowers a reject to quarantine and
// no further; only the mode and a trusted sealer do more.
func TestForgeable(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range rounds {
		d := randomDraft(random)
		d.policy = "p=reject"
		r := d.decide(t)
		if r.DMARC.Code != dmarc.Fail {
			continue
		}
		least := map[postseal.Enforce]int{postseal.Observe: 0, postseal.EnforceQuarantine: 1, postseal.Guarded: 1, postseal.Strict: 3}[d.enforce]
		if got := severity(r.Decision.Applied); got < least || d.enforce == postseal.EnforceQuarantine && got != 1 {
			t.Fatalf("%+v: applied %s", d, r.Decision.Applied)
		}
		if r.Decision.Action != postseal.Reject || r.Decision.Applied != postseal.Reject && r.Decision.Override == nil {
			t.Fatalf("%+v: action %s, override %+v", d, r.Decision.Action, r.Decision.Override)
		}
	}
}

// TestFailingSignatureHelpsNobody: a signature that does not hold changes no result, makes
// no pass of a fail, and lowers no verdict below quarantine (RFC 6376 §6.1).
func TestFailingSignatureHelpsNobody(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range rounds {
		d := randomDraft(random)
		before := d.decide(t)
		d.broken = append(d.broken, pick(random, domains...))
		after := d.decide(t)
		if before.DMARC.Code != after.DMARC.Code || before.DMARC.Policy != after.DMARC.Policy {
			t.Fatalf("%+v: dmarc=%s, before %s", d, after.DMARC.Code, before.DMARC.Code)
		}
		b, a := before.Decision, after.Decision
		if a.Action != b.Action || severity(a.Applied) > severity(b.Applied) && d.traits == "" || severity(a.Applied) < min(severity(b.Applied), 1) {
			t.Fatalf("%+v: %s applied %s, before %s applied %s", d, a.Action, a.Applied, b.Action, b.Applied)
		}
	}
}

// TestUnknownIsNoResult: when a lookup fails, the result stays as it was or becomes
// temperror; it is never pass or none because of it (RFC 9989 §5.3.6).
func TestUnknownIsNoResult(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	seen := 0
	for range rounds {
		d := randomDraft(random)
		before := d.decide(t)
		d.down = pick(random, "_dmarc.acme.test", "_dmarc.test", "_dmarc.mail.acme.test", "_dmarc.evil.test", "s._domainkey.acme.test",
			"s._domainkey.evil.test", "s._domainkey.mail.acme.test", "acme.test", "evil.test")
		after := d.decide(t)
		switch {
		case after.DMARC.Code == dmarc.TempError:
			seen++
			if known := after.DMARC.Policy.Strength() > 0; known && d.enforce != postseal.Observe && after.Decision.Applied != postseal.Defer {
				t.Fatalf("%+v: temperror under a known policy, applied %s", d, after.Decision.Applied)
			}
		case after.DMARC.Code != before.DMARC.Code:
			t.Fatalf("%+v: dmarc=%s, before %s", d, after.DMARC.Code, before.DMARC.Code)
		}
	}
	if seen < rounds/20 {
		t.Errorf("only %d of %d were temperror: the test looks at nothing", seen, rounds)
	}
}

// TestReplies: three lines of printable ASCII below 512 octets, whatever names stand in
// them, with the codes of RFC 7372 §3 and RFC 9989 §7.2.
func TestReplies(t *testing.T) {
	label := strings.Repeat("a", 60)
	long := label + "." + label + "." + label + ".test"
	other := "b" + long[1:]
	for _, tt := range []struct {
		name, author, from string
		signed             []string
		code               int
		enhanced           string
	}{
		{"nothing passed", "acme.test", "acme.test", nil, 550, "5.7.26"},
		{"SPF of another passed", "acme.test", "evil.test", nil, 550, "5.7.1"},
		{"DKIM of another passed", "acme.test", "acme.test", []string{"evil.test"}, 550, "5.7.1"},
		{"long names", long, long, nil, 550, "5.7.26"},
		{"long names, SPF and DKIM of another passed", long, other, []string{other}, 550, "5.7.1"},
		{"a policy unknown in part", "down.test", "acme.test", nil, 451, "4.4.3"},
		{"no author", "", "acme.test", nil, 550, "5.7.1"},
	} {
		z, err := dnstest.Parse(`acme.test. 60 TXT "v=spf1 -all"
evil.test. 60 TXT "v=spf1 +all"
_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"
_dmarc.down.test. 60 TXT "v=DMARC1; p=reject"
; FAULT s._domainkey.down.test TXT SERVFAIL
` + "_dmarc." + long + `. 60 TXT "v=DMARC1; p=reject"
` + long + `. 60 TXT "v=spf1 -all"
` + other + `. 60 TXT "v=spf1 +all"
s._domainkey.` + other + `. 60 TXT ` + reference.TXT(reference.Record(reference.Ed25519(other))) + `
s._domainkey.evil.test. 60 TXT ` + reference.TXT(reference.Record(reference.Ed25519("evil.test"))) + "\n")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(forwarded, "dana@acme.test", "dana@"+tt.author, 1)
		for _, s := range append(tt.signed, map[string][]string{"down.test": {"down.test"}}[tt.author]...) {
			text = reference.DKIM(s, "s", reference.Ed25519(s)).Sign(text)
		}
		r, err := postseal.VerifyReader(t.Context(), verifier(t, postseal.Config{Resolver: z, Enforce: postseal.Strict, ReplyURL: "https://mx.example.net/verdicts"}),
			postseal.Conn{Remote: netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:25")}, "x", "x@"+tt.from, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		reply := r.Decision.Reply
		if reply == nil || reply.Code != tt.code || reply.Enhanced != tt.enhanced {
			t.Errorf("%s: got %+v, want %d %s", tt.name, reply, tt.code, tt.enhanced)
			continue
		}
		checkReply(t, tt.name, reply, r.Ref)
		if tt.author == "acme.test" && !strings.Contains(reply.Lines[0], "DMARC") {
			t.Errorf("%s: %q does not say DMARC", tt.name, reply.Lines[0])
		}
	}
}

// TestReplyWithoutName: where no domain is known, none is spoken of.
func TestReplyWithoutName(t *testing.T) {
	z, err := dnstest.Parse(`_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := postseal.VerifyReader(t.Context(), verifier(t, postseal.Config{Resolver: z, Enforce: postseal.Strict}),
		postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "", "", strings.NewReader("DKIM-Signature: v=1\r\nFrom: a@acme.test\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Decision.Reply.Lines[1], "SPF: none. DKIM: neutral. Sent from 192.0.2.1."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func checkReply(t *testing.T, name string, reply *postseal.Reply, ref string) {
	t.Helper()
	if n := len(reply.Lines); n < 3 || n > 6 || !strings.Contains(reply.Lines[n-1], ref) || !strings.HasPrefix(reply.Lines[n-2], "Sender: ") {
		t.Errorf("%s: lines %q", name, reply.Lines)
	}
	for _, l := range reply.Lines {
		const most = 236 // more would be cut on its way to a milter
		if smtpreply.Clean(l, most) != l {
			t.Errorf("%s: line of %d octets: %q", name, len(l), l)
		}
	}
	if _, err := smtpreply.Format(reply.Code, reply.Enhanced, reply.Lines); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestReplyTag: the tag follows the reference in the URL of a reply; an URL that does not fit
// is omitted as a whole.
func TestReplyTag(t *testing.T) {
	z, err := dnstest.Parse("_dmarc.bank.test. 60 TXT \"v=DMARC1; p=reject\"\nbank.test. 60 TXT \"v=spf1 -all\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, tag, want string }{
		{"https://mx.example.net/r/", "4T9K2W", "Details: https://mx.example.net/r/REF-4T9K2W"},
		{"https://mx.example.net/r", "", "Details: https://mx.example.net/r/REF"},
		{"", "4T9K2W", "Ref REF"},
		{"https://mx.example.net/" + strings.Repeat("r", 200), "4T9K2W", "Ref REF"},
	} {
		policy := &postseal.EnforcePolicy{Mode: postseal.Strict, ReplyURL: c.url, ReplyTag: func(string) string { return c.tag }}
		r, err := postseal.VerifyReader(t.Context(), verifier(t, postseal.Config{Resolver: z, Policy: policy}), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "x.test", "a@bank.test",
			strings.NewReader("From: a@bank.test\r\n\r\nx\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		lines := r.Decision.Reply.Lines
		if got := strings.ReplaceAll(lines[len(lines)-1], r.Ref, "REF"); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.url, c.tag, got, c.want)
		}
	}
}
