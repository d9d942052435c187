package audit_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postseal/audit"
)

var update = flag.Bool("update", false, "rewrite generated pages")

var areas = map[string]string{"spf": "SPF", "dkim": "DKIM", "dmarc": "DMARC", "domain": "The domain", "mx": "MX", "parked": "Domains without mail", "mtasts": "MTA-STS",
	"tlsrpt": "TLS-RPT", "dane": "DANE", "dnssec": "DNSSEC", "bimi": "BIMI", "caa": "CAA", "ns": "Name servers", "txt": "TXT records", "bulk": "Bulk senders", "starttls": "STARTTLS"}

// TestRulesPage keeps docs/reference/rules.md as the table says.
func TestRulesPage(t *testing.T) {
	const page = "../docs/reference/rules.md"
	want := rulesPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("%s is not what the table says: go test ./audit -update (%v)", page, err)
	}
}

func rulesPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Audit rules\n\nThe rules of `postseal audit`. An id never changes its meaning. `postseal rules ID` prints one rule. Generated from the code.\n\n")
	b.WriteString("The grade is the worst that the findings allow: critical F, error C, warn B, unless the table gives another. A domain with neither SPF nor DMARC gets F.\nIf an important check could not run, there is no grade.\n")
	area := ""
	for _, r := range audit.Rules() {
		if r.Area() != area {
			area = r.Area()
			if areas[area] == "" {
				t.Errorf("area %s has no title", area)
			}
			fmt.Fprintf(&b, "\n## %s\n\n| rule | severity | grade | fault, reason, and fix | source |\n|---|---|---|---|---|\n", areas[area])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | **%s.** %s *%s* | %s |\n", r.ID, r.Severity, r.BestGrade(), cell(r.Title), cell(r.Why), cell(r.Fix), r.Cite())
	}
	return b.String()
}

var quoted = regexp.MustCompile("`([a-z0-9]+)\\.([a-z0-9-]+)`|`(Test[A-Za-z]+)`")

// TestCoveragePage: what docs/explain/audit-coverage.md claims is a rule, each of which has a
// vector (TestCorpus), or names a test that exists.
func TestCoveragePage(t *testing.T) {
	page, err := os.ReadFile("../docs/explain/audit-coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "../internal/app/repair/*_test.go"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	claims := 0
	for _, m := range quoted.FindAllStringSubmatch(string(page), -1) {
		id := m[1] + "." + m[2]
		switch {
		case m[3] != "" && !strings.Contains(tests.String(), "func "+m[3]+"("):
			t.Errorf("there is no %s", m[3])
		case m[3] == "" && m[2] != "py":
			if _, ok := audit.RuleOf(id); !ok {
				t.Errorf("there is no rule %s", id)
			}
			claims++
		}
	}
	if claims < 80 {
		t.Errorf("%d rules are named", claims)
	}
}

// TestReportModifiers: ra, rp and rr are registered (RFC 6652), and cost nothing.
func TestReportModifiers(t *testing.T) {
	r := auditZone(t, strings.Replace(sane, "mx ~all", "mx ra=postmaster rp=100 rr=all ~all", 1), "a.test", audit.Options{})
	if r.Grade != "A" || strings.Contains(ids(r), "spf.unknown-modifier") {
		t.Errorf("grade %s; found %s", r.Grade, ids(r))
	}
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "*", `\*`).Replace(s) }
