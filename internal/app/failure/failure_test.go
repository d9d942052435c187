package failure

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	godkim "github.com/emersion/go-msgauth/dkim"

	"postseal"
	"postseal/dkim"
	"postseal/report"
	"postseal/resolver/dnstest"
	"postseal/store"
)

var (
	// now is after any time at which go-msgauth, which reads the system's clock, signs.
	now = time.Date(2090, 11, 30, 12, 0, 0, 0, time.UTC)
	key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
)

const record = `v=DMARC1; p=reject; ruf=mailto:f@acme.test; fo=`

// zone: acme.test with an option of fo, and a key that signs for it.
func zone(tags string) string {
	return `acme.test. 60 TXT "v=spf1 ip4:192.0.2.25 include:spf.acme.test -all"
spf.acme.test. 60 TXT "v=spf1 ip4:192.0.2.77 -all"
list.test. 60 TXT "v=spf1 ip4:198.51.100.1 -all"
soft.test. 60 TXT "v=spf1 ~all"
; FAULT down.test TXT SERVFAIL
; FAULT slow._domainkey.acme.test TXT SERVFAIL
gone._domainkey.acme.test. 60 TXT "v=DKIM1; k=ed25519; p="
s1._domainkey.acme.test. 60 TXT "v=DKIM1; k=ed25519; p=` + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)) + `"
_dmarc.acme.test. 60 TXT "` + tags + `"
`
}

// letter is a message. Its secrets are in no report.
const letter = "From: Alice Secret <alice@acme.test>\r\nTo: Bob Secret <bob@example.net>\r\nCc: carol@example.net\r\nSubject: secret plans\r\n" +
	"Date: Mon, 30 Nov 2026 11:59:00 +0000 (secret)\r\nMessage-ID: <20261130.77@acme.test>\r\nReceived: from secret.acme.test by mx for <bob@example.net>\r\n\r\nsecret body\r\n"

// arrival is how a message comes.
type arrival struct {
	from, ip, text string
	selector       string // signs, "" for none
	breakBody      bool
	listener       string
}

func (m arrival) verdict(t testing.TB, tags string) store.Verdict {
	t.Helper()
	dns, err := dnstest.Parse(zone(tags))
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(m.text)
	if m.text == "" {
		text = []byte(letter)
	}
	if m.selector != "" {
		var signed bytes.Buffer
		if err := godkim.Sign(&signed, bytes.NewReader(text), &godkim.SignOptions{Domain: "acme.test", Identifier: "alice@acme.test", Selector: m.selector, Signer: key, HeaderKeys: []string{"From"}}); err != nil {
			t.Fatal(err)
		}
		text = signed.Bytes()
	}
	if m.breakBody {
		text = append(text, "footer\r\n"...)
	}
	ip := m.ip
	if ip == "" {
		ip = "203.0.113.66"
	}
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort(ip + ":2525")}, "helo.test", m.from, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Recipients = []string{"bob@example.net"}
	if m.listener == "" {
		m.listener = "milter"
	}
	return store.Verdict{Report: r, Listener: m.listener, At: now, ReportAddress: "reports@mx.example.net"}
}

func redactor(t testing.TB) *Redactor {
	t.Helper()
	r, err := NewRedactor(key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAsked: which messages each option of fo asks about, and what the report says of them (RFC
// 9989 §4.7, RFC 9991 §4, RFC 6591 §3.3).
func TestAsked(t *testing.T) {
	forged := arrival{from: "alice@acme.test"}
	for _, c := range []struct {
		name, fo   string
		mail       arrival
		kind       string // "" for no report
		notAligned string
	}{
		{"0, all fail", "0", forged, "dmarc", "dkim spf"},
		{"0, the default", "", forged, "dmarc", "dkim spf"},
		{"0, SPF passes", "0", arrival{from: "alice@acme.test", ip: "192.0.2.25", selector: "s1", breakBody: true}, "", ""},
		{"1, SPF passes alone", "1", arrival{from: "alice@acme.test", ip: "192.0.2.25"}, "dmarc", "dkim"},
		{"1, DKIM passes alone", "1", arrival{from: "l@list.test", ip: "198.51.100.1", selector: "s1"}, "dmarc", "spf"},
		{"1, both pass", "1", arrival{from: "alice@acme.test", ip: "192.0.2.25", selector: "s1"}, "", ""},
		{"1, the DNS does not answer for SPF", "1", arrival{from: "a@down.test", selector: "s1"}, "", ""},
		{"1, nor for the key, and SPF passes", "1", arrival{from: "alice@acme.test", ip: "192.0.2.25", selector: "slow"}, "", ""},
		{"0, the DNS hides the key", "0", arrival{from: "alice@acme.test", selector: "slow"}, "", ""},
		{"d, the body was changed", "d", arrival{from: "alice@acme.test", ip: "192.0.2.25", selector: "s1", breakBody: true}, "dmarc", "dkim"},
		{"d, the key is revoked", "d", arrival{from: "alice@acme.test", ip: "192.0.2.25", selector: "gone"}, "dmarc", "dkim"},
		{"d, no signature", "d", forged, "", ""},
		{"s, SPF fails", "s", forged, "dmarc", "dkim spf"},
		{"s, softfail of another domain", "s", arrival{from: "a@soft.test", selector: "s1"}, "dmarc", "spf"},
		{"s, SPF passes for another", "s", arrival{from: "l@list.test", ip: "198.51.100.1"}, "", ""},
		{"0 and d", "0:d", forged, "dmarc", "dkim spf"},
		{"a null path", "0", arrival{from: ""}, "", ""},
		{"over HTTP", "0", arrival{from: "alice@acme.test", listener: "http"}, "", ""},
		{"an automatic answer", "0", arrival{from: "alice@acme.test", text: "Auto-Submitted: auto-replied\r\n" + letter}, "", ""},
		{"a report", "0", arrival{from: "alice@acme.test", text: "Content-Type: multipart/report; report-type=feedback-report\r\n" + letter}, "", ""},
		{"two authors", "0", arrival{from: "alice@acme.test", text: strings.Replace(letter, "<alice@acme.test>", "<alice@acme.test>, <x@list.test>", 1)}, "", ""},
		{"two From fields", "0", arrival{from: "alice@acme.test", text: "From: x@acme.test\r\n" + letter}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tags := record + c.fo
			if c.fo == "" {
				tags = strings.TrimSuffix(record, "; fo=")
			}
			f, ok := Of(c.mail.verdict(t, tags), redactor(t))
			if ok != (c.kind != "") || f.Type != c.kind || strings.Join(f.NotAligned, " ") != c.notAligned {
				t.Errorf("%v, %q, %q", ok, f.Type, f.NotAligned)
			}
		})
	}
	for _, tags := range []string{record + "0; psd=y", "v=DMARC1; p=reject; fo=0", "v=DMARC1; p=reject; rua=mailto:a@acme.test"} {
		if _, ok := Of(forged.verdict(t, tags), redactor(t)); ok {
			t.Errorf("a report for %q", tags)
		}
	}
}

// TestOwnTypes: while an identity of each method aligns, what failed in addition is reported by its
// own type.
func TestOwnTypes(t *testing.T) {
	both := "Sender: x@acme.test\r\n" + letter
	v := arrival{from: "alice@acme.test", ip: "192.0.2.25", text: both, selector: "s1"}.verdict(t, record+"d")
	broken := v.Report.DKIM[0]
	for reason, want := range map[dkim.Reason]string{dkim.BodyHashMismatch: "bodyhash", dkim.KeyRevoked: "revoked", dkim.SignatureMismatch: "signature"} {
		broken.Code, broken.Selector, broken.Reason = dkim.Fail, "old", reason
		x := *v.Report
		x.DKIM = append(slices.Clone(v.Report.DKIM), broken)
		f, ok := Of(store.Verdict{Report: &x, Listener: "milter", At: now}, redactor(t))
		if !ok || f.Type != want || len(f.NotAligned) != 0 || !strings.HasPrefix(f.Result, "dkim=fail header.d=acme.test header.s=old") {
			t.Errorf("%s: %v %+v", reason, ok, f)
		}
	}
}

// TestRedacted: the mail holds nothing of the message but what identifies it: no local part, name,
// subject, recipient or body, whatever field it hides in (RFC 9991 §7, RFC 6590).
func TestRedacted(t *testing.T) {
	hidden := strings.Replace(letter, "Message-ID: <2026", "Message-ID: <Alice.2026", 1)
	for name, m := range map[string]arrival{
		"forged":       {from: "alice+bob=example.net@acme.test"},
		"no domain":    {from: "alice"},
		"signed":       {from: "alice@acme.test", selector: "s1", breakBody: true},
		"z= of header": {from: "alice@acme.test", text: "DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s1; i=alice@acme.test; h=From; z=Subject:secret=20plans|To:bob@example.net; bh=AAAA; b=BBBB\r\n" + letter},
		"in the id":    {from: "x@acme.test", text: hidden},
	} {
		text := compose(t, m, record+"0:1:d:s")
		for _, word := range []string{"alice", "Alice", "secret", "Secret", "bob", "carol", "example.net@", "Received:", "Subject: s", "footer"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s: %q is in the mail:\n%s", name, word, text)
			}
		}
		for _, want := range []string{"From: <" + redactor(t).Path("alice@acme.test") + ">", "Mon, 30 Nov 2026 11:59:00 +0000", "@acme.test>\r\n"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s: %q is missing:\n%s", name, want, text)
			}
		}
	}
	if a, b := redactor(t), redactor(t); a.Path("alice@acme.test") != b.Path("alice@acme.test") || a.Path("alice@acme.test") == a.Path("bob@acme.test") {
		t.Error("an address has no code of its own")
	}
	other, err := NewRedactor(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)))
	if err != nil || other.Path("alice@acme.test") == redactor(t).Path("alice@acme.test") {
		t.Errorf("the code does not depend on the key (%v)", err)
	}
}

func compose(t testing.TB, m arrival, tags string) []byte {
	t.Helper()
	f, ok := Of(m.verdict(t, tags), redactor(t))
	if !ok {
		t.Fatalf("no report about %+v", m)
	}
	text, err := (&Letter{Facts: f, From: "reports@mx.example.net", To: "f@acme.test", Host: "mx.example.net", Generator: "postseal/test", Date: now}).Compose()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPingPong: a failure report, or a bounce of one, that fails DMARC at a receiver that sends such
// reports causes none: two receivers would send them to each other for ever.
func TestPingPong(t *testing.T) {
	text := bytes.Replace(compose(t, arrival{from: "alice@acme.test"}, record+"0"), []byte("<reports@mx.example.net>"), []byte("<reports@acme.test>"), 1)
	for name, m := range map[string]arrival{"the report": {from: "reports@acme.test", text: string(text)}, "its bounce": {from: "", text: letter}} {
		v := m.verdict(t, record+"0:1:d:s")
		if v.Report.DMARC.Code != "fail" || string(v.Report.Author.Domains[0]) != "acme.test" {
			t.Errorf("%s: %s", name, v.Report)
		}
		if f, ok := Of(v, redactor(t)); ok {
			t.Errorf("%s causes a report: %+v", name, f)
		}
	}
}

// TestReadBack: our own reader finds what the report says, without a warning.
func TestReadBack(t *testing.T) {
	text := compose(t, arrival{from: "alice@acme.test", selector: "s1", breakBody: true}, record+"0:1:d:s")
	for i, line := range bytes.Split(text, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") || bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x7f }) {
			t.Errorf("line %d: %q", i, line)
		}
	}
	var got []*report.Report
	reader := &report.Reader{Report: func(r *report.Report) error { got = append(got, r); return nil }}
	refused, err := reader.Read(t.Context(), "mail", bytes.NewReader(text))
	if err != nil || len(got) != 1 || got[0].Kind != report.Failure || len(got[0].Warnings) > 0 {
		t.Fatalf("%+v %v %v", got, refused, err)
	}
	want := map[string]string{"feedback_type": "auth-failure", "version": "1", "user_agent": "postseal/test", "reporting_mta": "dns; mx.example.net", "auth_failure": "dmarc", "identity_alignment": "dkim, spf",
		"authentication_results": "mx.example.net; dmarc=fail header.from=acme.test", "original_mail_from": "<" + redactor(t).Path("alice@acme.test") + ">", "arrival_date": "Thu, 30 Nov 2090 12:00:00 +0000",
		"reported_domain": "acme.test", "delivery_result": "policy", "source_ip": "203.0.113.66", "source_port": "2525", "dkim_domain": "acme.test", "dkim_identity": "@acme.test", "dkim_selector": "s1",
		"spf_dns": `txt : acme.test : "v=spf1 ip4:192.0.2.25 include:spf.acme.test -all"; txt : spf.acme.test : "v=spf1 ip4:192.0.2.77 -all"`}
	for name, value := range want {
		if got[0].Feedback[name] != value {
			t.Errorf("%s: %q, want %q", name, got[0].Feedback[name], value)
		}
	}
	for name := range got[0].Feedback {
		if want[name] == "" {
			t.Errorf("%s is there: %q", name, got[0].Feedback[name])
		}
	}
	if !got[0].Begin.Equal(now) || got[0].Domain != "acme.test" {
		t.Errorf("%+v", got[0])
	}
}

// TestKinds: failures are alike if they come from one network for one reason, and the text that
// says so does not name the network.
func TestKinds(t *testing.T) {
	kind := func(ip, from string) string {
		f, ok := Of(arrival{from: from, ip: ip}.verdict(t, record+"0"), redactor(t))
		if !ok {
			t.Fatal(ip)
		}
		return f.Kind()
	}
	first := kind("203.0.113.66", "alice@acme.test")
	if kind("203.0.113.9", "bob@acme.test") != first || kind("203.0.114.66", "alice@acme.test") == first || kind("203.0.113.66", "a@soft.test") == first || strings.Contains(first, "203") {
		t.Errorf("%q", first)
	}
}

// TestLargest: a message with as many and as long fields and records as the engine takes makes a
// mail of bounded size.
func TestLargest(t *testing.T) {
	text := strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s1; h=From; bh=AAAA; b="+strings.Repeat("B", 50_000)+"\r\n", 4) +
		strings.Repeat("Message-ID: <"+strings.Repeat("i", 5_000)+"@acme.test>\r\n", 9) + strings.Repeat("Date: Mon, 30 Nov 2026 11:59:00 +0000\r\n", 900) + letter
	f, ok := Of(arrival{from: "alice@acme.test", text: text}.verdict(t, record+"0"), redactor(t))
	if !ok || len(f.Header) != maxFields {
		t.Fatalf("%v, %d fields", ok, len(f.Header))
	}
	wide := *arrival{from: "alice@acme.test"}.verdict(t, record+"0").Report
	for range 30 {
		f.Records = append(f.Records, [2]string{"acme.test", "v=spf1 " + strings.Repeat("x", 900)})
	}
	if got := records(&wide); len(got) > maxRecords {
		t.Errorf("%d records", len(got))
	}
	f.Records = f.Records[:maxRecords]
	mail, err := (&Letter{Facts: f, From: "reports@mx.example.net", To: "f@acme.test", Host: "mx.example.net", Generator: "postseal/test", Date: now}).Compose()
	if err != nil || len(mail) > 100<<10 {
		t.Errorf("%d octets, %v", len(mail), err)
	}
}

// FuzzCompose: whatever a message and its records hold, the mail is of ASCII, its lines are whole,
// and our reader takes it as one failure report about the author's domain.
func FuzzCompose(f *testing.F) {
	f.Add("alice@acme.test", "v=1; a=rsa-sha256; d=acme.test; s=s1; h=From; bh=AAAA; b=BBBB", "<1@acme.test>", "x")
	f.Add("a\"b@acme.test", "v=1; d=acme.test\x00; s=\"\r\n", "<1\r\n 2@acme.test>", "Mon, 30 Nov 2026 11:59:00 +0000 (\xff)")
	f.Fuzz(func(t *testing.T, from, signature, id, date string) {
		clean := strings.NewReplacer("\r", "", "\n", "").Replace
		text := "From: a@acme.test\r\nDate: " + clean(date) + "\r\nMessage-ID: " + clean(id) + "\r\nDKIM-Signature: " + clean(signature) + "\r\n\r\nbody\r\n"
		v := arrival{from: from, text: text}.verdict(t, record+"0:1:d:s")
		facts, ok := Of(v, redactor(t))
		if !ok {
			return
		}
		facts.Records = append(facts.Records, [2]string{"acme.test", date})
		out, err := (&Letter{Facts: facts, From: "reports@mx.example.net", To: "f@acme.test", Host: "mx.example.net", Generator: "postseal/test", Date: now}).Compose()
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte("\r\n")), []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q", line)
			}
		}
		reports := 0
		reader := &report.Reader{Report: func(r *report.Report) error {
			if reports++; r.Kind != report.Failure || r.Domain != "acme.test" || r.Feedback["feedback_type"] != "auth-failure" {
				t.Errorf("%+v", r)
			}
			return nil
		}}
		if _, err := reader.Read(t.Context(), "mail", bytes.NewReader(out)); err != nil || reports != 1 {
			t.Fatalf("%d reports, %v:\n%s", reports, err, out)
		}
	})
}
