package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
)

func TestDiff(t *testing.T) {
	for _, test := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"SPF", "mx ~all", "mx ?all", "grade A became B: worse|spf.all-neutral is new|SPF changed from"},
		{"better", "p=quarantine", "p=reject", "dmarc.reject-lists is new|DMARC changed from"},
		{"DMARC gone", "_dmarc.a.test", "_dmarcx.a.test", "grade A became D: worse|dmarc.missing is new|DMARC was removed"},
		{"include", "x.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"", "x.test. TXT \"v=spf1 a:mx.a.test -all\"", "the same SPF record now needs 3 lookups instead of 2"},
		{"key", "s1._domainkey", "s2._domainkey", "the DKIM key s2 is new|the DKIM key s1 is gone"},
		{"MX", "a.test. MX 10 mx.a.test.", "a.test. MX 20 mx.a.test.", "MX changed from 10 mx.a.test to 20 mx.a.test"},
		{"a failed lookup is not a change", "$TTL 300", "; FAULT a.test TXT SERVFAIL\n; FAULT _dmarc.a.test TXT TIMEOUT\n; FAULT a.test MX TIMEOUT\n; FAULT _domainkey.a.test TXT TIMEOUT\n$TTL 300", ""},
	} {
		was := auditZone(t, sane, "a.test", audit.Options{})
		is := auditZone(t, strings.Replace(sane, test.from, test.to, 1), "a.test", audit.Options{})
		var got []string
		for _, c := range audit.Diff(was, is) {
			got = append(got, c.Text)
		}
		want := strings.Split(test.want, "|")
		if test.want == "" {
			want = nil
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: got %q, want %q", test.name, got[i], want[i])
			}
		}
	}
}

func TestLintZone(t *testing.T) {
	const zone = `$ORIGIN a.test.
$TTL 60
@ TXT "v=spf1 ipv4:192.0.2.1 -all"
@ TXT "v=spf1 -all"
@ TXT "v=spf 1 -all"
@ CAA 128 isue "ca.test"
_dmarc TXT "v=DMARC1; p=none; pct=3; rua=mailto:a@a.test"
_dmarc.b TXT "v=dmarc1; p=none"
s1._domainkey TXT "v=DKIM1; k=dsa; p=AAAA"
_mta-sts TXT "v=STSv1; id=!"
_smtp._tls TXT "v=TLSRPTv1"
default._bimi TXT "v=BIMI1"
_25._tcp.mx TLSA 1 1 1 00
`
	list, err := audit.LintZone(strings.NewReader(zone), "a.zone")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, f.ID)
	}
	want := "spf.syntax spf.multiple spf.not-recognised caa.unknown-critical dmarc.obsolete-tag dmarc.not-recognised dkim.key-type mtasts.record tlsrpt.syntax bimi.syntax dane.unusable"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	for _, f := range list {
		if f.ID == "dmarc.obsolete-tag" && f.Publish != "v=DMARC1; p=none; rua=mailto:a@a.test" {
			t.Errorf("publish %q", f.Publish)
		}
	}
	if _, err := audit.LintZone(strings.NewReader("a.test. FOO bar\n"), "a.zone"); err == nil {
		t.Error("a broken zone gives no error")
	}
}

// FuzzLintZone: no zone panics, and each finding has a title and its place.
func FuzzLintZone(f *testing.F) {
	f.Add("a.test. TXT \"v=spf1 -all\"\n_25._tcp.a.test. TLSA 3 1 1 00\n")
	f.Add("_dmarc.a.test. TXT \"v=DMARC1; p=x\"\n")
	f.Fuzz(func(t *testing.T, zone string) {
		if strings.Contains(strings.ToUpper(zone), "$GENERATE") {
			return
		}
		list, _ := audit.LintZone(strings.NewReader(zone), "a.zone")
		for _, f := range list {
			if f.Title == "" || f.Where.Offset > len(f.Where.Record) {
				t.Fatalf("%+v", f)
			}
		}
	})
}
