package auditview_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/auditview"
	"postseal/resolver/dnstest"
)

const zone = `$TTL 300
a.test. TXT "v=spf1 include:x.test include:y.test mx a:old.a.test ip4:203.0.0.0/12 ?all"
x.test. TXT "v=spf1 include:y.test ip4:192.0.2.0/28 ~all"
y.test. TXT "v=spf1 a:h1.y.test a:h2.y.test a:h3.y.test ~all"
h1.y.test. A 192.0.2.1
h2.y.test. A 192.0.2.2
h3.y.test. A 192.0.2.3
a.test. MX 10 mx.a.test.
mx.a.test. A 198.51.100.1
_dmarc.a.test. TXT "v=DMARC1; p=none; pct=50; rua=mailto:d@evil.test"
evil.test. MX 1 mx.a.test.
s1._domainkey.a.test. TXT "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCvqtPCio9BLodhQbCkB0ToquLIjqoE/3/f8xF7WNoQf/Jqn0ocGzr4NGJ1q/XsHsBfre4lWBBAyTYVLEHBrJOQd0hYhmHlkTNVdetwg52S40iy2io09I0Q0k8KhkdmfuoXWBzP80W8bhmUdkm7VCouCMKq0rgSK9PwhFCmy+QnQwIDAQAB"
a.test. CAA 0 issue "ca.test"
<script>.test. TXT "v=spf1 -all"
; FAULT down.test ANY SERVFAIL
hostile.test. TXT "v=spf1 include:<script>alert(1)</script>.test =cmd|x&\195\132 -all"
`

func reports(t *testing.T) []*audit.Report {
	t.Helper()
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	var list []*audit.Report
	for _, name := range []domain.Name{"a.test", "down.test", "hostile.test", "nobody.test"} {
		r := (&audit.Auditor{Resolver: z}).Audit(t.Context(), name, audit.Options{Bulk: name == "a.test"})
		r.Cost.Micros = 1234
		list = append(list, r)
	}
	return list
}

func write(t *testing.T, format string, list []*audit.Report, from auditview.Source) string {
	t.Helper()
	var b bytes.Buffer
	w, err := auditview.New(format, &b, auditview.Options{Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := w.Report(r, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSARIF: the log is what the schema of SARIF 2.1.0 says, with and without results.
func TestSARIF(t *testing.T) {
	all := reports(t)
	for _, test := range []struct {
		list []*audit.Report
		from auditview.Source
	}{{all, auditview.Source{}}, {nil, auditview.Source{}}, {all, auditview.Source{File: "domains.txt", Line: 7}}} {
		text := write(t, "sarif", test.list, test.from)
		report, err := sarif.FromString(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if err := report.Validate(); err != nil {
			t.Fatalf("the schema of SARIF says: %v", err)
		}
		want := 0
		for _, r := range test.list {
			want += len(r.Findings)
		}
		run := report.Runs[0]
		if len(run.Results) != want || len(run.Tool.Driver.Rules) != len(audit.Rules()) {
			t.Errorf("%d results, want %d; %d rules", len(run.Results), want, len(run.Tool.Driver.Rules))
		}
		for _, res := range run.Results {
			if got := run.Tool.Driver.Rules[res.RuleIndex].ID; got == nil || *got != *res.RuleID {
				t.Errorf("%s: the index names another rule", *res.RuleID)
			}
			uri := *res.Locations[0].PhysicalLocation.ArtifactLocation.URI
			if test.from.File != "" && uri != "domains.txt" || test.from.File == "" && !strings.HasPrefix(uri, "dns/") {
				t.Errorf("%s lies at %s", *res.RuleID, uri)
			}
		}
	}
}

// TestJUnit: well-formed, the counts are true, and what CI systems read is there.
func TestJUnit(t *testing.T) {
	type problem struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
	}
	var got struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Errors   int    `xml:"errors,attr"`
			Cases    []struct {
				Name      string    `xml:"name,attr"`
				Classname string    `xml:"classname,attr"`
				Failures  []problem `xml:"failure"`
				Errors    []problem `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	list := reports(t)
	if err := xml.Unmarshal([]byte(write(t, "junit", list, auditview.Source{})), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != len(list) {
		t.Fatalf("%d suites", len(got.Suites))
	}
	for i, s := range got.Suites {
		failures, errors := 0, 0
		for _, c := range s.Cases {
			if c.Name == "" || c.Classname != "postseal."+s.Name {
				t.Errorf("case %+v", c)
			}
			if len(c.Failures) > 0 {
				failures++
			}
			if len(c.Errors) > 0 {
				errors++
			}
		}
		if s.Name != list[i].Domain || s.Tests != len(s.Cases) || s.Failures != failures || s.Errors != errors {
			t.Errorf("%s: %d tests, %d failures, %d errors; counted %d, %d, %d", s.Name, s.Tests, s.Failures, s.Errors, len(s.Cases), failures, errors)
		}
	}
	if got.Suites[0].Failures == 0 || got.Suites[1].Errors == 0 {
		t.Errorf("%+v", got.Suites[:2])
	}
	if err := xml.Unmarshal([]byte(write(t, "junit", nil, auditview.Source{})), &got); err != nil {
		t.Error(err)
	}
}

// TestPublished: each format holds what to publish at each name, whole, and why there is
// nothing.
func TestPublished(t *testing.T) {
	list := reports(t)
	if len(list[0].Publish) == 0 || len(list[2].NoRecord) == 0 {
		t.Fatalf("%+v, %+v", list[0].Publish, list[2].NoRecord)
	}
	for _, format := range auditview.Formats() {
		text := write(t, format, list, auditview.Source{})
		if format == "html" {
			text = html.UnescapeString(text)
		}
		for _, r := range list {
			for _, p := range r.Publish {
				if !strings.Contains(text, p.Value) {
					t.Errorf("%s: %q is not in\n%s", format, p.Value, text)
				}
			}
			for _, n := range r.NoRecord {
				if words := strings.Fields(n.Reason); !strings.Contains(text, words[len(words)-1]) {
					t.Errorf("%s: %q is not in\n%s", format, n.Reason, text)
				}
			}
		}
	}
}

func TestCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(write(t, "csv", reports(t), auditview.Source{}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	domains := map[string]bool{}
	for _, row := range rows[1:] {
		domains[row[0]] = true
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
		}
	}
	if len(domains) != 4 || rows[0][3] != "id" {
		t.Errorf("%d domains, head %q", len(domains), rows[0])
	}
}

func TestMarkdown(t *testing.T) {
	text := write(t, "md", reports(t), auditview.Source{})
	for _, want := range []string{"## a.test: grade C", "| error | `dmarc.rua-unauthorised` |", "## down.test: no grade", "Could not check spf: servfail at down.test"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "<script>") {
		t.Error("markup of a record reaches the page")
	}
}

// TestPage: one file, no request to elsewhere, nothing of a record that is markup.
func TestPage(t *testing.T) {
	text := write(t, "html", reports(t), auditview.Source{})
	for _, bad := range []string{"<script", "http:", "url(", "@import", "<link", "src="} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"<h1>a.test</h1>", "include:x.test", "&lt;script&gt;", "4 domains, audited", "prefers-color-scheme:dark"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestScreenshot draws the page in a browser, light and dark, wide and narrow. The pictures go to
// the folder POSTSEAL_SCREENSHOTS.
func TestScreenshot(t *testing.T) {
	if os.Getenv("POSTSEAL_SCREENSHOTS") == "" {
		t.Skip("SKIPPED: it starts a browser: POSTSEAL_SCREENSHOTS is the folder of its pictures")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-headless-shell", "chromium-browser"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no chromium here: apt-get install chromium-headless-shell")
	}
	dir := os.Getenv("POSTSEAL_SCREENSHOTS")
	page := filepath.Join(dir, "audit.html")
	if err := os.WriteFile(page, []byte(write(t, "html", reports(t)[:2], auditview.Source{})), 0o644); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, shot := range []struct {
		name, flag string
		width      int
	}{{"light", "", 1280}, {"dark", "--blink-settings=preferredColorScheme=0", 1280}, {"narrow", "", 500}} {
		out := filepath.Join(dir, "audit-"+shot.name+".png")
		args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir=" + t.TempDir(),
			fmt.Sprintf("--window-size=%d,2400", shot.width), "--screenshot=" + out}
		if shot.flag != "" {
			args = append(args, shot.flag)
		}
		cmd := exec.Command(browser, append(args, "file://"+page)...)
		cmd.WaitDelay = 10 * time.Second
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		sizes[shot.name] = info.Size()
	}
	for name, n := range sizes {
		if n < 20<<10 {
			t.Errorf("%s: a picture of %d octets is empty", name, n)
		}
	}
}
