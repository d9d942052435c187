package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestReportOut shows what would be sent, and lists what is, from a history of one day.
func TestReportOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	day := store.DayOf(store.Millis(storetest.Now)) - 1
	rows, policies := storetest.ReportRows(day)
	n := storetest.Claim(t, db, "i", "b")
	storetest.Ship(t, db, &n, &store.Batch{Rows: rows, Policies: policies})
	waiting := store.FailureReport{Delivery: store.Delivery{Day: day + 1, Domain: "acme.test", URI: "failure:t1", Address: "f@acme.test", NextAt: store.Millis(storetest.Now), Token: "t1"},
		Asked: "mailto:f@acme.test", MadeAt: store.Millis(storetest.Now), Ref: "7KQ29F3M", Type: "dmarc", Incidents: 4, Body: []byte("From: <reports@mx.example.net>\r\n\r\n")}
	limit := store.FailureLimit{Domain: "acme.test", Kind: "a", At: waiting.MadeAt, Most: 1, Every: time.Hour, Waiting: 1}
	if _, err := db.QueueFailure(t.Context(), limit, []store.FailureReport{waiting}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	zone, config := filepath.Join(dir, "acme.zone"), filepath.Join(dir, "postseal.toml")
	for file, text := range map[string]string{zone: "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@acme.test\"\n", config: "authserv_id = \"mx.example.net\"\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := []string{"--now", storetest.Now.Format(time.RFC3339), "--store", store.SQLitePrefix + path, "--zone", zone, "--config", config}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"report send --dry-run", exitUsage, "missing --out"},
		{"report send --out " + dir, exitUsage, "belong to --dry-run"},
		{"report send", exitConfig, "reports are not turned on"},
		{"report send --dry-run --day yesterday --out " + dir, exitUsage, "2026-11-29"},
		{"report send --dry-run --out " + dir + "/out", exitOK, "dmarc@acme.test: due"},
		{"report send --dry-run --out " + dir + "/out", exitOK, "2 domains with a policy that asks for reports, 1 mails written; nothing was sent"},
		{"report read " + dir + "/out", exitOK, "2 records, 5 messages: 3 pass DMARC, 2 fail; p=reject"},
		{"report list", exitOK, "failure report (dmarc) about 4 messages, ref 7KQ29F3M"},
		{"report list --kind failure --state sealed --domain acme.test", exitOK, "f@acme.test: due"},
		{"report list --kind failure --state none", exitOK, ""},
		{"report list --kind tls", exitUsage, "neither aggregate nor failure"},
		{"report send --dry-run --out " + dir + "/failures", exitOK, "1 failure reports wait"},
		{"report show 2026-11-29 acme.test", exitNoInput, "there is no report about acme.test on 2026-11-29"},
		{"report show today acme.test", exitUsage, "is not a day"},
		{"report suppress", exitOK, "nothing is suppressed"},
		{"report suppress add dmarc@acme.test --why asked", exitOK, ""},
		{"report suppress", exitOK, "dmarc@acme.test  until 2100-01-01  asked"},
		{"report send --dry-run --out " + dir + "/out", exitOK, "suppressed"},
		{"report suppress lift dmarc@acme.test", exitOK, ""},
		{"report suppress lift dmarc@acme.test", exitNoInput, "is not suppressed"},
		{"report suppress remove x", exitUsage, "add TARGET or lift TARGET"},
	} {
		args := append(strings.Fields(c.args), more...)
		if strings.HasPrefix(c.args, "report read") {
			args = strings.Fields(c.args)
		}
		code, stdout, stderr := run(nil, "", args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, stdout, stderr)
		}
	}
	for args, schema := range map[string]string{"report send --dry-run --format jsonl --out " + dir + "/out": "report-out", "report suppress --format json": "report-suppressions",
		"report list --kind failure --format jsonl": "report-out"} {
		code, stdout, stderr := run(nil, "", append(strings.Fields(args), more...)...)
		if err := matchSchema(schema, stdout); code != exitOK || err != nil {
			t.Errorf("%s: exit %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
	}
}
