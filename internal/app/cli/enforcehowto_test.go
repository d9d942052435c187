package cli

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postseal/report"
	"postseal/store"
)

// traffic is what a receiver saw of a domain on one day: messages by source.
type traffic struct {
	ip       string
	messages int64
	spf, d   string // what authenticates: the domain of SPF, and of a signature that passes
	listed   bool
}

const howtoZone = `acme.test. 60 TXT "v=spf1 ip4:192.0.2.0/28 include:_spf.mailer.test -all"
_spf.mailer.test. 60 TXT "v=spf1 ip4:198.51.100.0/24 -all"
`

// writeReport writes the report of a receiver about a day of acme.test.
func writeReport(t *testing.T, dir, org, policy string, day time.Time, all []traffic) {
	t.Helper()
	id := report.Identity{Store: org, Submitter: org, Domain: "acme.test", Day: day}
	r := &report.Report{Kind: report.Aggregate, Org: org, Email: "d@" + org, ID: id.ReportID(), Domain: "acme.test", Published: report.Published{P: policy}}
	r.Begin, r.End = id.Range()
	var b bytes.Buffer
	w := report.NewWriter(&b, r)
	for _, x := range all {
		rec := report.Record{IP: netip.MustParseAddr(x.ip), Count: x.messages, Disposition: "none", DKIM: "fail", SPF: "fail", HeaderFrom: "acme.test", EnvelopeFrom: x.spf}
		if x.spf != "" {
			rec.AuthSPF = []report.SPFAuth{{Domain: x.spf, Scope: "mfrom", Result: "pass"}}
		} else {
			rec.AuthSPF = []report.SPFAuth{{Domain: "acme.test", Scope: "mfrom", Result: "fail"}}
		}
		if x.d != "" {
			rec.AuthDKIM = []report.DKIMAuth{{Domain: x.d, Selector: "s1", Result: "pass"}}
		}
		if x.spf == "acme.test" {
			rec.SPF = "pass"
		}
		if x.d == "acme.test" {
			rec.DKIM = "pass"
		}
		if rec.SPF == "fail" && rec.DKIM == "fail" && policy != "none" {
			rec.Disposition = policy
		}
		if x.listed {
			rec.Disposition, rec.Reasons = "none", []report.Override{{Type: "mailing_list"}}
		}
		if err := w.Record(&rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id.FileName()), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEnforceHowto follows the guide from p=none to p=reject: what it shows is what the commands print.
func TestEnforceHowto(t *testing.T) {
	page, err := os.ReadFile(source("docs/howto/enforce-your-domain.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ postseal (report (?:summary|digest)[^\n]*)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	dir := t.TempDir()
	zone := filepath.Join(dir, "acme.zone")
	if err := os.WriteFile(zone, []byte(howtoZone), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	own := traffic{"192.0.2.5", 40, "acme.test", "acme.test", false}
	foreign, signs := traffic{"198.51.100.20", 12, "bounce.mailer.test", "mailer.test", false}, traffic{"198.51.100.20", 12, "bounce.mailer.test", "acme.test", false}
	list, forged, invoices := traffic{"203.0.113.9", 1, "lists.example.net", "lists.example.net", true}, traffic{"203.0.113.66", 9, "", "", false}, traffic{"198.51.100.99", 15, "bounce.billing.test", "billing.test", false}
	busy := own
	busy.messages = 160
	stages := []struct {
		days   int
		policy string
		mail   []traffic
	}{
		{6, "none", []traffic{own, foreign, list, forged}},
		{38, "none", []traffic{busy, signs, list, forged}},
		{20, "quarantine", []traffic{busy, signs, list, forged}},
		{4, "reject", []traffic{busy, signs, invoices, list, forged}},
	}
	if len(blocks) != len(stages) {
		t.Fatalf("the guide shows %d outputs, want %d", len(blocks), len(stages))
	}
	day := start
	for i, s := range stages {
		inbox := t.TempDir()
		for range s.days {
			for _, org := range []string{"rx.example", "big.example"} {
				writeReport(t, inbox, org, s.policy, day, s.mail)
			}
			day = day.Add(24 * time.Hour)
		}
		more := []string{"--now", day.Add(12 * time.Hour).Format(time.RFC3339), "--store", store.SQLitePrefix + filepath.Join(dir, "store.db"), "--zone", zone}
		if code, out, errs := run(nil, "", append([]string{"report", "read", inbox}, more...)...); code != exitOK {
			t.Fatalf("%d %s%s", code, out, errs)
		}
		code, out, errs := run(nil, "", append(strings.Fields(blocks[i][1]), more...)...)
		wantCode := exitOK
		if strings.HasPrefix(blocks[i][1], "report digest") {
			wantCode = exitNo // something changed
		}
		if want := blocks[i][2]; code != wantCode || trimLines(out) != trimLines(want) {
			t.Errorf("%s: exit code %d %s\n%s", blocks[i][1], code, errs, fmt.Sprintf("the guide:\n%s\nthe command:\n%s", want, out))
		}
	}
}

// trimLines drops white space at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
