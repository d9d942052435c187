package differential

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/secondopinion"
	"postseal/lab/suites"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// hold fails for a difference that the reviewed table does not know.
func hold(t *testing.T, opinions []secondopinion.Opinion) {
	t.Helper()
	for _, o := range opinions {
		if !o.Known() {
			t.Errorf("%s (%s)", &o, o.Problem)
		}
	}
}

// TestSecondOpinionVectors compares every vector.
func TestSecondOpinionVectors(t *testing.T) {
	files, err := filepath.Glob("../../testdata/vectors/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			report, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			zone, err := dnstest.Parse(b.Zone)
			if err != nil {
				t.Fatal(err)
			}
			hold(t, secondopinion.Compare(t.Context(), zone, report, b.Message))
		})
	}
}

// TestSecondOpinionMail compares the sample mails.
func TestSecondOpinionMail(t *testing.T) {
	zone, err := dnstest.ParseFiles("../../testdata/zones/mail.zone")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, Now: func() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../testdata/mail/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mail found: %v", err)
	}
	for _, file := range files {
		f, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte(strings.ReplaceAll(strings.ReplaceAll(string(f), "\r\n", "\n"), "\n", "\r\n"))
		report, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{}, "", "", strings.NewReader(string(msg)))
		if err != nil {
			t.Fatal(err)
		}
		opinions := secondopinion.Compare(t.Context(), zone, report, msg)
		if len(opinions) != len(report.DKIM) {
			t.Errorf("%s: %d opinions of %d signatures", file, len(opinions), len(report.DKIM))
		}
		hold(t, opinions)
	}
}

// moduleDir is where the suites lie.
func moduleDir(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("skipped: the module cache does not hold blitiri.com.ar/go/spf: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

// TestSecondOpinionSuites compares every suite of the module.
func TestSecondOpinionSuites(t *testing.T) {
	dir := moduleDir(t)
	for _, s := range suites.ModuleSuites() {
		file := s.File
		cases, err := suites.ReadSPF(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		agree := 0
		for _, c := range cases {
			checker := spf.Checker{Resolver: c.Zone}
			q := spf.Request{IP: c.Host, Helo: c.Helo, Sender: c.MailFrom}
			o := secondopinion.CompareSPF(t.Context(), c.Zone, q, checker.Check(t.Context(), q))
			if o.Agrees {
				agree++
			}
			if !o.Known() {
				t.Errorf("%s: %s: %s", file, c.Name, &o)
			}
		}
		t.Logf("%s: %d of %d agree, the others are known", file, agree, len(cases))
	}
}
