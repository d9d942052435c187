package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
	"postseal/domain"
	"postseal/resolver/dnstest"
)

const sane = `$TTL 300
a.test. TXT "v=spf1 include:x.test mx ~all"
x.test. TXT "v=spf1 ip4:192.0.2.1 -all"
a.test. MX 10 mx.a.test.
mx.a.test. A 198.51.100.1
1.100.51.198.in-addr.arpa. PTR mx.a.test.
_dmarc.a.test. TXT "v=DMARC1; p=quarantine; rua=mailto:d@a.test"
s1._domainkey.a.test. TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4mArqyUjbnH1vidE6aP4MFSbvlE/Gf6FJEmqyuqkgM2owlKhMj27f+VSdL6wiOKNjIFhcMzPSVXiHBthbNCIb4WInxqNNECVBlukD5sT8T8xY7T331g5dFmI6wQOyato6F++jg/j0F22Np82nYRCeuAx4ZrrndCPPO1zgaosff6tEko1OVeAmFbn4lTWiiXym" "XdOO1e66CuyKFBR3jXnpM1vhJFyISRV+iShNiTZdOdrTWFJgZg1F4ZFbUh+y2oE6C51ze0kQl9lukln+ddc4mbCePFLLz/zbQyTUjOP2/2+toKs7DgAT5Sev9YtzuADbx9NXHOgLb5VdtIUQIQoBwIDAQAB"
`

func auditZone(t *testing.T, zone, name string, o audit.Options) *audit.Report {
	t.Helper()
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	return (&audit.Auditor{Resolver: z}).Audit(t.Context(), domain.Name(name), o)
}

func TestGrade(t *testing.T) {
	for _, test := range []struct{ name, zone, grade, reason string }{
		{"sane", sane, "A", "no finding limits the grade"},
		{"warn", strings.Replace(sane, "mx ~all", "mx ?all", 1), "B", "capped by spf.all-neutral"},
		{"error", strings.Replace(sane, "mx ~all", "mx include=y -all", 1), "C", "capped by spf.typo"},
		{"critical", strings.Replace(sane, "mx ~all", "mx +all", 1), "F", "capped by spf.all-permissive"},
		{"no DMARC", strings.Replace(sane, "_dmarc", "dmarc", 1), "D", "capped by dmarc.missing"},
		{"neither", "$TTL 1\na.test. MX 10 mx.a.test.\nmx.a.test. A 198.51.100.1\n", "F", "neither SPF nor DMARC: anyone can send as this domain"},
		{"missing domain", "$TTL 1\nb.test. A 192.0.2.1\n", "", "no grade: the domain does not exist"},
	} {
		r := auditZone(t, test.zone, "a.test", audit.Options{})
		if string(r.Grade) != test.grade || r.GradeReason != test.reason {
			t.Errorf("%s: got %q, %q; want %q, %q; found %s", test.name, r.Grade, r.GradeReason, test.grade, test.reason, ids(r))
		}
	}
}

// TestUnchecked: a lookup that fails is not a finding, and there is no grade without it where
// it matters.
func TestUnchecked(t *testing.T) {
	for _, test := range []struct{ fault, check, kind, not string }{
		{"a.test TXT SERVFAIL", "spf", "servfail", "spf.missing"},
		{"a.test TXT TIMEOUT", "spf", "timeout", "spf.missing"},
		{"x.test TXT REFUSED", "spf", "refused", "spf.include-broken"},
		{"a.test MX BOGUS", "mx", "bogus", "mx.missing"},
		{"_dmarc.a.test TXT SERVFAIL", "dmarc", "servfail", "dmarc.missing"},
		{"s9._domainkey.a.test TXT SERVFAIL", "dkim", "servfail", "dkim.selector-missing"},
	} {
		o := audit.Options{Selectors: []audit.Selector{{Name: "s9", Source: audit.FromFlag}}}
		zone := sane + "s9._domainkey.a.test. CNAME s1._domainkey.a.test.\n; FAULT " + test.fault + "\n"
		r := auditZone(t, zone, "a.test", o)
		if r.Grade != "" || !strings.Contains(r.GradeReason, test.check+" could not be checked ("+test.kind) {
			t.Errorf("%s: grade %q, %q", test.fault, r.Grade, r.GradeReason)
		}
		for _, f := range r.Findings {
			if f.ID == test.not {
				t.Errorf("%s: finding %s: %s", test.fault, f.ID, f.Detail)
			}
		}
		if len(r.Unchecked) == 0 || string(r.Unchecked[0].Kind) != test.kind {
			t.Errorf("%s: unchecked %+v", test.fault, r.Unchecked)
		}
	}
}

// TestMinorFailures: what does not matter for the grade does not hide it.
func TestMinorFailures(t *testing.T) {
	for _, fault := range []string{"1.100.51.198.in-addr.arpa PTR SERVFAIL", "_domainkey.a.test TXT TIMEOUT", "test TXT SERVFAIL"} {
		if r := auditZone(t, sane+"; FAULT "+fault+"\n", "a.test", audit.Options{}); r.Grade != "A" {
			t.Errorf("%s: grade %q, %s; found %s", fault, r.Grade, r.GradeReason, ids(r))
		}
	}
}

func TestProfile(t *testing.T) {
	for _, test := range []struct {
		zone string
		want audit.Profile
	}{
		{sane, audit.Both},
		{"$TTL 1\na.test. TXT \"v=spf1 -all\"\na.test. MX 0 .\n", audit.Parked},
		{"$TTL 1\na.test. A 192.0.2.1\n", audit.Parked},
		{"$TTL 1\na.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", audit.Sending},
		{"$TTL 1\na.test. TXT \"v=spf1 -all\"\na.test. MX 1 b.test.\n", audit.Receiving},
		{"$TTL 1\na.test. MX 1 b.test.\n", audit.Both},
		{"$TTL 1\na.test. A 192.0.2.1\n; FAULT a.test MX SERVFAIL\n", audit.Unknown},
	} {
		if r := auditZone(t, test.zone, "a.test", audit.Options{}); r.Profile != test.want {
			t.Errorf("%q: got %s, want %s", test.zone, r.Profile, test.want)
		}
	}
}

// TestSelectors: the surest source wins, and nothing is called missing on a guess.
func TestSelectors(t *testing.T) {
	o := audit.Options{Selectors: []audit.Selector{{Name: "s1", Source: audit.FromMail}, {Name: "s1", Source: audit.FromFlag}}}
	r := auditZone(t, sane, "a.test", o)
	if len(r.Records.DKIM) != 1 || r.Records.DKIM[0].Source != audit.FromFlag {
		t.Errorf("got %+v", r.Records.DKIM)
	}
	zone := strings.Replace(sane, "s1._domainkey", "unguessable._domainkey", 1)
	if r := auditZone(t, zone, "a.test", audit.Options{}); strings.Contains(ids(r), "dkim.") || len(r.Records.DKIM) != 0 {
		t.Errorf("found %s, %+v", ids(r), r.Records.DKIM)
	}
	hint := strings.Replace(strings.Replace(sane, "x.test", "_spf.google.com", 2), "s1._domainkey", "google._domainkey", 1)
	if r := auditZone(t, hint, "a.test", audit.Options{}); len(r.Records.DKIM) != 1 || r.Records.DKIM[0].Source != audit.FromHint {
		t.Errorf("got %+v", r.Records.DKIM)
	}
}

// TestKeys: one key on two domains of a list is reported at the second.
func TestKeys(t *testing.T) {
	zone := sane + strings.NewReplacer("a.test", "b.test", "x.test", "y.test", "$TTL 300\n", "", "198.51.100.1", "198.51.100.2", "1.100.51.198", "2.100.51.198").Replace(sane)
	var keys audit.Keys
	for _, test := range []struct{ name, found string }{{"a.test", ""}, {"b.test", "selector s1 has the same key as a.test"}, {"a.test", ""}} {
		r := auditZone(t, zone, test.name, audit.Options{})
		keys.Check(r)
		detail := ""
		if f := finding(r, "dkim.shared-key"); f != nil {
			detail = f.Detail
		}
		if detail != test.found || test.found != "" && r.Grade != "B" {
			t.Errorf("%s: found %q, grade %s", test.name, detail, r.Grade)
		}
	}
}
