package audit_test

import (
	"flag"
	"fmt"
	"os"
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
	b.WriteString("# Rules of audit\n\nWhat `postseal audit` looks for. An id never changes its meaning. `postseal rules ID` prints the same. Generated from the code.\n\n")
	b.WriteString("The grade is the worst of the grades that the findings allow: critical F, error C, warn B, unless the table says another one. Neither SPF nor DMARC is F.\nWhere a check that matters could not run there is no grade.\n")
	area := ""
	for _, r := range audit.Rules() {
		if r.Area() != area {
			area = r.Area()
			if areas[area] == "" {
				t.Errorf("area %s has no title", area)
			}
			fmt.Fprintf(&b, "\n## %s\n\n| rule | severity | grade | what, why, and how to mend it | source |\n|---|---|---|---|---|\n", areas[area])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | **%s.** %s *%s* | %s |\n", r.ID, r.Severity, r.BestGrade(), cell(r.Title), cell(r.Why), cell(r.Fix), r.Cite())
	}
	return b.String()
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "*", `\*`).Replace(s) }
