package report

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/resolver/dnstest"
)

// sent is a report as we send it, with records of every kind.
func sent() (*Report, []Record, Identity) {
	id := Identity{Store: "3f2a", Submitter: "mx.example.net", Domain: "acme.test", Day: time.Date(2026, 11, 29, 13, 0, 0, 0, time.UTC)}
	r := &Report{Kind: Aggregate, Org: "Example & <Sons>", Email: "reports@example.net", ID: id.ReportID(), Domain: "acme.test", Generator: "postseal",
		Published: Published{P: "reject", SP: "quarantine", NP: "reject", ADKIM: "s", ASPF: "r", FO: "0", Testing: "n", Discovery: "treewalk"},
		Errors:    []string{"the policy changed during the day"}}
	r.Begin, r.End = id.Range()
	many := make([]DKIMAuth, 150)
	for i := range many {
		many[i] = DKIMAuth{Domain: "xn--bcher-kva.test", Selector: "s1", Result: "fail"}
	}
	return r, []Record{
		{IP: netip.MustParseAddr("192.0.2.1"), Count: 7, Disposition: "pass", DKIM: "pass", SPF: "pass", HeaderFrom: "acme.test", EnvelopeFrom: "acme.test",
			AuthDKIM: []DKIMAuth{{"acme.test", "s1", "pass"}}, AuthSPF: []SPFAuth{{"acme.test", "mfrom", "pass"}}},
		{IP: netip.MustParseAddr("2001:db8::1"), Count: 1, Disposition: "none", DKIM: "fail", SPF: "fail", HeaderFrom: "sub.acme.test",
			Reasons: []Override{{"local_policy", "observe: \"nothing\" is applied \x01\x7f"}, {"unheard-of", ""}}, AuthDKIM: many},
		{IP: netip.MustParseAddr("203.0.113.9"), Count: 2, Disposition: "unheard-of", DKIM: "maybe", SPF: "", HeaderFrom: "acme.test",
			AuthSPF: []SPFAuth{{"a.test", "helo", "unheard-of"}, {"b.test", "mfrom", "pass"}}},
	}, id
}

func written(t *testing.T) []byte {
	t.Helper()
	r, records, _ := sent()
	var b bytes.Buffer
	w := NewWriter(&b, r)
	for i := range records {
		if err := w.Record(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWriter: our reader reads what we write, without a warning, and equal.
func TestWriter(t *testing.T) {
	r, records, id := sent()
	got := collect(t, id.FileName(), written(t))
	if len(got.reports) != 1 || len(got.reports[0].Warnings) != 0 {
		t.Fatalf("reports %v, refused %v", got.reports, got.refused)
	}
	g := got.reports[0]
	if g.ID != r.ID || g.Org != r.Org || g.Published != r.Published || !g.Begin.Equal(r.Begin) || !g.End.Equal(r.End) || g.Messages != 10 || g.Errors[0] != r.Errors[0] {
		t.Errorf("got %+v", g)
	}
	if rec := got.records[0][0]; !reflect.DeepEqual(rec.AuthDKIM, records[0].AuthDKIM) || !reflect.DeepEqual(rec.AuthSPF, records[0].AuthSPF) || rec.Count != 7 {
		t.Errorf("got %+v", rec)
	}
	if rec := got.records[0][1]; len(rec.AuthDKIM) != 100 || rec.Reasons[1].Type != "other" {
		t.Errorf("got %d signatures, reasons %v", len(rec.AuthDKIM), rec.Reasons)
	}
	if rec := got.records[0][2]; rec.Disposition != "none" || rec.DKIM != "fail" || len(rec.AuthSPF) != 1 {
		t.Errorf("got %+v", rec)
	}
}

// TestNoRecords: a report needs a record.
func TestNoRecords(t *testing.T) {
	r, _, _ := sent()
	if err := NewWriter(io.Discard, r).Close(); err == nil {
		t.Error("no error")
	}
}

// TestSchema: what we write is valid by the schema of RFC 9990, as xmllint reads it.
func TestSchema(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("skipped: xmllint is not installed (package libxml2-utils)")
	}
	z, err := gzip.NewReader(bytes.NewReader(written(t)))
	if err != nil {
		t.Fatal(err)
	}
	octets, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	if err := os.WriteFile(file, octets, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(xmllint, "--nonet", "--noout", "--schema", "testdata/dmarc-2.0.xsd", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestIdentity: names follow the grammar of RFC 9990 §3.5, and are the same for the same day
// alone.
func TestIdentity(t *testing.T) {
	_, _, id := sent()
	if !regexp.MustCompile(`^mx\.example\.net!acme\.test!1795910400!1795996799![a-z0-9]{16}\.xml\.gz$`).MatchString(id.FileName()) {
		t.Error(id.FileName())
	}
	if !regexp.MustCompile(`^Report Domain: acme\.test Submitter: mx\.example\.net Report-ID: <[A-Za-z0-9.-]+@mx\.example\.net>$`).MatchString(id.Subject()) {
		t.Error(id.Subject())
	}
	later, other := id, id
	later.Day = id.Day.Add(5 * time.Hour)
	other.Day = id.Day.Add(24 * time.Hour)
	if later.ReportID() != id.ReportID() || other.Unique() == id.Unique() {
		t.Error(later.ReportID(), other.ReportID())
	}
}

// TestCompose: the mail passes DMARC aligned by our own engine, under the strictest policy,
// and our reader finds the report in it.
func TestCompose(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := dnstest.Parse("_dmarc.mx.example.net. 60 TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\n" +
		"r1._domainkey.mx.example.net. 60 TXT \"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public) + "\"\n")
	if err != nil {
		t.Fatal(err)
	}
	_, _, id := sent()
	m := &Mail{Identity: id, From: "reports@mx.example.net", To: "d@acme.test", Date: id.Day.Add(24 * time.Hour), Messages: 10, Body: written(t)}
	octets, err := m.Compose(&Signer{Domain: "mx.example.net", Selector: "r1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.acme.test", Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	conn := postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.7:25")}
	verdict, err := postseal.VerifyReader(t.Context(), v, conn, "mx.example.net", "", bytes.NewReader(octets))
	if err != nil {
		t.Fatal(err)
	}
	if verdict.Decision.Reason != postseal.DMARCPass {
		t.Errorf("reason %s; %+v", verdict.Decision.Reason, verdict.DKIM)
	}
	for line := range bytes.Lines(octets) {
		if len(line) > 998 || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("line %q", line)
		}
	}
	if got := collect(t, "mail", octets); len(got.reports) != 1 || got.reports[0].Messages != 10 {
		t.Errorf("reports %v, refused %v", got.reports, got.refused)
	}
}

// TestDestinations: another organization gets reports only if it agrees (RFC 9990 §4).
func TestDestinations(t *testing.T) {
	dns, err := dnstest.Parse(`
_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"
_dmarc.reader.test. 60 TXT "v=DMARC1; p=none"
acme.test._report._dmarc.reader.test. 60 TXT "v=DMARC1"
acme.test._report._dmarc.second.test. 60 TXT "v=DMARC1; rua=mailto:all@second.test"
acme.test._report._dmarc.away.test. 60 TXT "v=DMARC1; rua=mailto:all@victim.test"
acme.test._report._dmarc.other.test. 60 TXT "v=spf1 -all"
*._report._dmarc.any.test. 60 TXT "v=DMARC1;"
; FAULT acme.test._report._dmarc.down.test TXT SERVFAIL
`)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a23456789.", 17) + "acme.test"
	for _, c := range []struct {
		name, policyDomain, uri, address string
		consent                          Consent
	}{
		{"own domain", "acme.test", "mailto:d@acme.test", "d@acme.test", Allowed},
		{"own organization", "acme.test", "mailto:d@reports.acme.test", "d@reports.acme.test", Allowed},
		{"agreed", "acme.test", "mailto:d@reader.test", "d@reader.test", Allowed},
		{"agreed for any domain", "acme.test", "mailto:d@any.test", "d@any.test", Allowed},
		{"another address", "acme.test", "mailto:d@second.test", "all@second.test", Allowed},
		{"an address elsewhere", "acme.test", "mailto:d@away.test", "d@away.test", Refused},
		{"not agreed", "acme.test", "mailto:d@victim.test", "d@victim.test", Refused},
		{"another kind of record", "acme.test", "mailto:d@other.test", "d@other.test", Refused},
		{"no answer", "acme.test", "mailto:d@down.test", "d@down.test", Unknown},
		{"a name that is too long", long, "mailto:d@" + strings.Repeat("b23456789.", 7) + "any.test", "d@" + strings.Repeat("b23456789.", 7) + "any.test", Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Destinations(t.Context(), dns, Aggregate, c.policyDomain, []string{"https://acme.test/", "mailto:a b@acme.test", "mailto:<x>@acme.test", c.uri})
			if len(got) != 1 || got[0].Consent != c.consent || got[0].Address != c.address {
				t.Errorf("got %+v, want %s %s", got, c.consent, c.address)
			}
			if len(got) == 1 && (got[0].Why == "") != (c.consent == Allowed) {
				t.Errorf("why %q", got[0].Why)
			}
		})
	}
}

// TestFailureDestinations: for failure reports the ruf tag stands where rua does (RFC 9991 §5): an
// address for the other kind of report is not used.
func TestFailureDestinations(t *testing.T) {
	dns, err := dnstest.Parse(`
_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"
acme.test._report._dmarc.both.test. 60 TXT "v=DMARC1; rua=mailto:a@both.test; ruf=mailto:f@both.test"
acme.test._report._dmarc.sums.test. 60 TXT "v=DMARC1; rua=mailto:a@sums.test"
acme.test._report._dmarc.away.test. 60 TXT "v=DMARC1; ruf=mailto:f@victim.test"
`)
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]Destination{
		"mailto:d@both.test":   {Address: "f@both.test", Consent: Allowed},
		"mailto:d@sums.test":   {Address: "d@sums.test", Consent: Allowed},
		"mailto:d@away.test":   {Address: "d@away.test", Consent: Refused},
		"mailto:d@victim.test": {Address: "d@victim.test", Consent: Refused},
	} {
		got := Destinations(t.Context(), dns, Failure, "acme.test", []string{uri})
		if len(got) != 1 || got[0].Address != want.Address || got[0].Consent != want.Consent {
			t.Errorf("%s: %+v", uri, got)
		}
	}
}
