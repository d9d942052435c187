package audit_test

import (
	"path/filepath"
	"strings"
	"testing"

	"postseal/audit"
)

// publishIn puts a publication into a zone, in place of what is at its name, and of a text for
// it that stands elsewhere.
func publishIn(zone string, p audit.Publication) string {
	kind := map[bool]string{true: "dmarc", false: "spf"}[strings.HasPrefix(p.Name, "_dmarc.")]
	if strings.Contains(p.Name, "._domainkey.") || strings.HasPrefix(p.Name, "_mta-sts.") || strings.HasPrefix(p.Name, "_smtp.") || strings.Contains(p.Name, "._bimi.") {
		kind = ""
	}
	var b strings.Builder
	for line := range strings.Lines(zone) {
		name, rest, _ := strings.Cut(line, " ")
		lower := strings.ToLower(rest)
		here := name == p.Name+"." && (strings.HasPrefix(rest, "CNAME ") || strings.HasPrefix(rest, p.Type+" ") && (p.Type != "TXT" || strings.Contains(lower, kind)))
		if here || kind == "dmarc" && strings.HasPrefix(rest, "TXT ") && strings.Contains(lower, "v=dmarc1;") && strings.HasSuffix(name, "a.test.") && !strings.Contains(name, "_report") {
			continue
		}
		b.WriteString(line)
	}
	value := p.Value
	if p.Type == "TXT" {
		for i := 200; i < len(value); i += 203 {
			value = value[:i] + `" "` + value[i:]
		}
		value = `"` + value + `"`
	}
	return b.String() + p.Name + ". " + p.Type + " " + value + "\n"
}

// TestMended: with everything published that an audit says to publish, what it fixes is gone,
// no graver finding has come, and there is nothing more to publish for it.
func TestMended(t *testing.T) {
	paths, _ := filepath.Glob("../testdata/audit/*.txtar")
	offered := 0
	for _, path := range paths {
		v := readVector(t, path)
		before := v.audit(t, "fires")
		zone, mends, worst := v.files["fires.zone"], map[string]bool{}, audit.Info
		for _, p := range before.Publish {
			offered++
			zone = publishIn(zone, p)
			for _, id := range p.Mends {
				mends[p.Name+" "+id] = true
				if rule, _ := audit.RuleOf(id); rule.Severity.Rank() > worst.Rank() {
					worst = rule.Severity
				}
			}
		}
		if f := finding(before, v.rule); f != nil && f.Publish == "" && mends[f.Where.Name+" "+f.ID] {
			t.Errorf("%s: the finding does not say what to publish", v.rule)
		}
		v.files["fires.zone"] = zone
		after := v.audit(t, "fires")
		for _, g := range after.Findings {
			if mends[g.Where.Name+" "+g.ID] {
				t.Errorf("%s: published %+v, still found: %s: %s", v.rule, before.Publish, g.ID, g.Detail)
			}
			if g.Severity.Rank() > worst.Rank() && finding(before, g.ID) == nil {
				t.Errorf("%s: published %+v, now %s: %s", v.rule, before.Publish, g.ID, g.Detail)
			}
		}
	}
	if offered < 60 {
		t.Errorf("only %d records were offered", offered)
	}
}

func TestMendedText(t *testing.T) {
	for _, test := range []struct{ spf, dmarc, id, want string }{
		{"v=spf1 a:gone.a.test  mx ~all", "", "spf.dead-term", "v=spf1 mx ~all"},
		{"v=spf1 mx +all exp=x.test", "", "spf.all-permissive", "v=spf1 mx ~all"},
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
