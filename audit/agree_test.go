package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postseal/audit"
)

// TestLintAgrees: of every text, lint zone and the audit say the same: a record, unreadable, or
// none.
func TestLintAgrees(t *testing.T) {
	rules := []string{"spf.not-recognised", "spf.syntax", "dmarc.not-recognised", "dmarc.syntax", "mtasts.record", "tlsrpt.syntax", "bimi.syntax"}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	found := 0
	for _, kind := range []struct{ name, text string }{{"a.test", "v=spf1 mx ~all"}, {"_dmarc.a.test", "v=DMARC1; p=reject"}, {"_mta-sts.a.test", "v=STSv1; id=1;"},
		{"_smtp._tls.a.test", "v=TLSRPTv1; rua=mailto:t@a.test"}, {"default._bimi.a.test", "v=BIMI1; l=https://a.test/l.svg"}} {
		for _, text := range []string{kind.text, `"` + kind.text + `"`, "\ufeff" + kind.text, " " + kind.text, strings.ToLower(kind.text), strings.ToUpper(kind.text), strings.Replace(kind.text, "1", "", 1),
			strings.Replace(kind.text, " ", "", 1), strings.ReplaceAll(kind.text, "=", ":"), strings.Replace(kind.text, "=", " = ", 1), "<p>" + kind.text + "</p>", kind.text + " " + kind.text,
			"\u201c" + kind.text + "\u201d", "TXT " + kind.text, "google-site-verification=x", "", "hello"} {
			var b strings.Builder
			for i := range len(text) {
				if c := text[i]; c > 0x7e {
					fmt.Fprintf(&b, `\%03d`, c)
				} else {
					b.WriteString(escape.Replace(text[i : i+1]))
				}
			}
			zone := "$TTL 60\na.test. MX 1 mx.a.test.\nmx.a.test. A 192.0.2.1\n" + kind.name + ". TXT \"" + b.String() + "\"\n"
			list, err := audit.LintZone(strings.NewReader(zone), "zone")
			if err != nil {
				t.Fatal(err)
			}
			r := auditZone(t, zone, "a.test", audit.Options{})
			for _, id := range rules {
				lint := slices.ContainsFunc(list, func(f audit.Finding) bool { return f.ID == id })
				if got := finding(r, id) != nil; got != lint {
					t.Errorf("%s %q: %s: audit %v, lint zone %v", kind.name, text, id, got, lint)
				}
				if lint {
					found++
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d texts could not be read", found)
	}
}
