package auditview_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postseal/audit"
	"postseal/internal/app/auditview"
)

func writeWith(t *testing.T, format string, list []*audit.Report, o auditview.Options) string {
	t.Helper()
	var b bytes.Buffer
	w, err := auditview.New(format, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := w.Report(r, auditview.Source{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestJUnitFailOn: what fails in JUnit is what fails the run.
func TestJUnitFailOn(t *testing.T) {
	list := reports(t)[:1]
	for _, test := range []struct {
		failOn string
		known  bool
	}{{"info", false}, {"warn", false}, {"error", false}, {"critical", false}, {"never", false}, {"warn", true}} {
		want := 0
		for _, f := range list[0].Findings {
			if test.failOn != "never" && !test.known && f.Severity.Rank() >= audit.Severity(test.failOn).Rank() {
				want++
			}
		}
		o := auditview.Options{FailOn: test.failOn, Known: func(*audit.Report, *audit.Finding) bool { return test.known }}
		got := strings.Count(writeWith(t, "junit", list, o), "<failure ")
		if got != want {
			t.Errorf("%+v: %d failures, want %d", test, got, want)
		}
	}
}

// TestBaselineState: with a baseline each result says whether it is new.
func TestBaselineState(t *testing.T) {
	list := reports(t)[:1]
	first := list[0].Findings[0].ID
	o := auditview.Options{Known: func(_ *audit.Report, f *audit.Finding) bool { return f.ID == first }}
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID        string
				BaselineState string
			}
		}
	}
	if err := json.Unmarshal([]byte(writeWith(t, "sarif", list, o)), &log); err != nil {
		t.Fatal(err)
	}
	for _, r := range log.Runs[0].Results {
		want := "new"
		if r.RuleID == first {
			want = "unchanged"
		}
		if r.BaselineState != want {
			t.Errorf("%s is %q, want %q", r.RuleID, r.BaselineState, want)
		}
	}
	if text := writeWith(t, "sarif", list, auditview.Options{}); strings.Contains(text, "baselineState") {
		t.Error("without a baseline results have a state")
	}
}

// TestZonePlace: with zone files a result lies in one of them, at the line of its record.
func TestZonePlace(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("zones", 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("zones", "a.test.zone")
	if err := os.WriteFile(path, []byte(zone), 0o644); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID    string
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(writeWith(t, "sarif", reports(t)[:1], auditview.Options{Files: []string{filepath.Join(dir, path)}})), &log); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(zone, "\n")
	for _, r := range log.Runs[0].Results {
		at := r.Locations[0].PhysicalLocation
		if at.ArtifactLocation.URI != "zones/a.test.zone" {
			t.Errorf("%s lies at %s", r.RuleID, at.ArtifactLocation.URI)
		}
		if line := lines[at.Region.StartLine-1]; r.RuleID == "spf.all-neutral" && !strings.HasPrefix(line, "a.test. TXT") || r.RuleID == "dmarc.policy-none" && !strings.HasPrefix(line, "_dmarc") {
			t.Errorf("%s lies at %q", r.RuleID, line)
		}
	}
}

// TestOverview: 500 domains are one page below 1 MB, without a script, that sorts and filters.
func TestOverview(t *testing.T) {
	base := reports(t)
	var list []*audit.Report
	for i := range 500 {
		r := *base[i%len(base)]
		r.Domain = fmt.Sprintf("domain-%03d.example", i)
		list = append(list, &r)
	}
	text := writeWith(t, "html", list, auditview.Options{Many: true})
	t.Logf("%d octets", len(text))
	if len(text) > 1<<20 {
		t.Errorf("the page has %d octets", len(text))
	}
	if n := strings.Count(text, "<details class="); n != 500 {
		t.Errorf("%d domains", n)
	}
	for _, want := range []string{`for="sg"`, `#sg:checked~.d{order:var(--g)}`, "--g:", "domain-499.example", "500 domains, audited"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, bad := range []string{"<script", "http:", "url(", "src=", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			break
		}
	}
}
