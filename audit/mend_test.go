package audit_test

import (
	"path/filepath"
	"strings"
	"testing"

	"postseal/audit"
)

// TestMended: with the record that a finding says to publish, the finding is gone, and no
// graver one has come.
func TestMended(t *testing.T) {
	paths, _ := filepath.Glob("../testdata/audit/*.txtar")
	tried := 0
	for _, path := range paths {
		v := readVector(t, path)
		before := v.audit(t, "fires")
		f := finding(before, v.rule)
		if f == nil || f.Publish == "" || f.Where.Record == "" {
			continue
		}
		tried++
		old, mended := `"`+f.Where.Record+`"`, `"`+f.Publish+`"`
		zone := v.files["fires.zone"]
		if v.rule == "spf.string-join" {
			old = `"v=spf1 include:x.test" "include:y.test -all"`
		}
		i := strings.LastIndex(zone, old)
		if i < 0 {
			if len(f.Where.Record) < 250 {
				t.Errorf("%s: %s is not in the zone", v.rule, old)
			}
			continue
		}
		v.files["fires.zone"] = zone[:i] + mended + zone[i+len(old):]
		after := v.audit(t, "fires")
		if g := finding(after, v.rule); g != nil && g.Where.Name == f.Where.Name {
			t.Errorf("%s: published %q, still found: %s", v.rule, f.Publish, g.Detail)
		}
		for _, g := range after.Findings {
			if g.Severity.Rank() > f.Severity.Rank() && finding(before, g.ID) == nil {
				t.Errorf("%s: published %q, now %s: %s", v.rule, f.Publish, g.ID, g.Detail)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d findings say what to publish", tried)
	}
}

func TestMendedText(t *testing.T) {
	for _, test := range []struct{ spf, dmarc, id, want string }{
		{"v=spf1 a:gone.a.test  mx ~all", "", "spf.dead-term", "v=spf1 mx ~all"},
		{"v=spf1 mx +all exp=x.test", "", "spf.all-permissive", "v=spf1 mx ~all exp=x.test"},
		{"v=spf1 mx", "", "spf.all-missing", "v=spf1 mx ~all"},
		{"v=spf1 mx ~all", "v=DMARC1; p=reject; pct=0; rua=mailto:d@a.test", "dmarc.obsolete-tag", "v=DMARC1; p=reject; t=y; rua=mailto:d@a.test"},
		{"v=spf1 mx ~all", "v=DMARC1;p=none;rua=mailto:d@a.test;", "dmarc.policy-none", "v=DMARC1; p=quarantine; rua=mailto:d@a.test"},
		{"v=spf1 mx ~all", "v=DMARC1; p=reject; sp=none", "dmarc.weak-sp", "v=DMARC1; p=reject"},
	} {
		zone := "$TTL 60\na.test. TXT \"" + test.spf + "\"\na.test. MX 1 mx.a.test.\nmx.a.test. A 192.0.2.1\n_dmarc.a.test. TXT \"" + test.dmarc + "\"\n"
		f := finding(auditZone(t, zone, "a.test", audit.Options{}), test.id)
		if f == nil || f.Publish != test.want {
			t.Errorf("%s of %q %q: got %+v, want %q", test.id, test.spf, test.dmarc, f, test.want)
		}
	}
}
