package cli

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// storeOf makes a database of rows and facts, and returns its URL.
func storeOf(t *testing.T, rows []store.Row) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	n.Seen, n.Shipped = store.Millis(storetest.Now), store.Millis(storetest.Now)
	at := store.Millis(storetest.Now)
	storetest.Ship(t, db, &n, &store.Batch{Rows: rows,
		Selectors: []store.Selector{{Domain: "acme.test", Selector: "k1", Algorithm: "rsa-sha256", Bits: 2048, Verified: true, First: at - 864e5, Last: at}},
		Policies:  []store.Policy{{Hash: store.Hash{1}, Domain: "acme.test", Text: "v=DMARC1; p=reject", First: at, Last: at}},
		Records:   []store.Record{{Domain: "acme.test", Name: "acme.test", Text: "v=spf1 -all", First: at, Last: at}},
		Losses:    []store.Loss{{Node: "mx1", Day: store.DayOf(at), Reason: store.LossDisk, N: 12, First: at - 1000, Last: at}}})
	return store.SQLitePrefix + path
}

func historyRows() []store.Row {
	at := store.Millis(storetest.Now)
	return []store.Row{
		{Millis: at - 7200e3, Ref: "7KQ29F3M", QID: "4XyZ12abcd", Door: "milter", Action: "reject", Applied: "quarantine", Enforce: "guarded", Reason: "dmarc.reject", Author: "acme.test",
			MFrom: "lists.example.net", Helo: "out.lists.example.net", IP: netip.MustParseAddr("198.51.100.77"), List: "lists.example.net", SPF: "pass", SPFDomain: "lists.example.net",
			DKIM: "fail:acme.test/k1(BodyHashMismatch)", DMARC: "fail", Aligned: "none", P: "reject", PolicyDom: "acme.test", ARC: "none", IPRev: "pass", Override: "mailing_list", Why: "guarded: indirect flow: List-Id present"},
		{Millis: at - 3600e3, Ref: "V8J8SAPH", QID: "4XyZ12abce", Door: "milter", Action: "accept", Applied: "accept", Enforce: "guarded", Reason: "dmarc.pass", Author: "bulk.test",
			MFrom: "=cmd.test", Helo: "out.bulk.test", IP: netip.MustParseAddr("2001:db8::25"), SPF: "pass", SPFDomain: "bulk.test", DKIM: "pass:bulk.test/s2", DMARC: "pass", Aligned: "both", ARC: "none", IPRev: "pass"},
	}
}

// TestHistory shows what is kept, in each form.
func TestHistory(t *testing.T) {
	url := storeOf(t, historyRows())
	clock := []string{"--now", storetest.Now.Format(time.RFC3339), "--store", url}
	for _, c := range []struct {
		args string
		code int
		want string
		not  string
	}{
		{"history", exitOK, "2026-11-30 10:00:00 ! quarantine (reject)  acme.test from lists.example.net at 198.51.100.77  7KQ2-9F3M 4XyZ12abcd\n    dmarc.reject: DKIM fail (BodyHashMismatch); SPF passes for lists.example.net, not the author; guarded: indirect flow", ""},
		{"history --author acme.test --action reject --since 2d", exitOK, "7KQ2-9F3M", "V8J8"},
		{"history ip:2001:db8::/32", exitOK, "V8J8-SAPH", "7KQ2"},
		{"history -spf:fail -dkim:pass", exitOK, "7KQ2-9F3M", "V8J8"},
		{"history --limit 5 -author:acme.test", exitOK, "V8J8-SAPH", "7KQ2"},
		{"history -auther:acme.test", exitUsage, "did you mean author:acme.test?", ""},
		{"history 7kq29f3m", exitOK, "7KQ2-9F3M", "V8J8"},
		{"history --limit 1", exitOK, "there are more: raise --limit", "7KQ2"},
		{"history fold:sender -author:acme.test", exitOK, "accept  bulk.test from =cmd.test", "7KQ2"},
		{"history fold:author", exitUsage, "fold takes the value sender only", ""},
		{"history --follow fold:sender", exitUsage, "cannot be folded", ""},
		{"store export fold:sender", exitUsage, "cannot be folded", ""},
		{"history --author other.test", exitOK, "no verdict matches", "7KQ2"},
		{"history", exitOK, "2026-11-30: 12 verdicts are missing (disk, mx1)", ""},
		{"history auther:acme.test", exitUsage, "did you mean author:acme.test?", ""},
		{"store status", exitOK, "node      mx1  slot 1  version test  shipped to 2026-11-30 12:00:00", ""},
		{"store check", exitOK, "not damaged", ""},
		{"domain acme.test", exitOK, "selector k1 of acme.test  rsa-sha256 2048 bits, verified  2026-11-29 to 2026-11-30", "bulk.test"},
		{"domain other.test", exitNoInput, "nothing is known of this domain", ""},
		{"domain a..b", exitUsage, "domain", ""},
		{"store export", exitOK, `"ref":"7KQ29F3M"`, ""},
		{"store forget --domain acme.test", exitOK, "1 verdicts of acme.test are removed", ""},
		{"store forget", exitUsage, "give --domain or --ip", ""},
		{"store forget --ip 2001:db8::25", exitOK, "1 verdicts of 2001:db8::25 are removed", ""},
		{"history", exitOK, "no verdict matches", ""},
		{"store prune --before 2026-12-31", exitOK, "", ""},
		{"store migrate", exitOK, "has schema ", ""},
	} {
		code, stdout, stderr := run(nil, "", append(strings.Fields(c.args), clock...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) || c.not != "" && strings.Contains(stdout, c.not) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, stdout, stderr)
		}
	}
}

// TestStatusNew: a node that has shipped nothing, as one that was copied, is not shown with a time of 1970.
func TestStatusNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Claim(t, db, "i", "b")
	db.Close()
	code, stdout, stderr := run(nil, "", "store", "status", "--store", store.SQLitePrefix+path)
	if code != exitOK || !strings.Contains(stdout, "version test  nothing shipped yet  lost 0") || strings.Contains(stdout, "1970") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

// TestPruneClock: a clock that is far ahead of the last sweep removes nothing; a date does not depend on it.
func TestPruneClock(t *testing.T) {
	url := storeOf(t, historyRows())
	at := func(now, args string) (int, string) {
		code, stdout, stderr := run(nil, "", append(strings.Fields(args), "--store", url, "--now", now)...)
		return code, stdout + stderr
	}
	if code, out := at("2026-11-30T12:00:00Z", "store prune"); code != exitOK {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, c := range []struct {
		args string
		code int
		want string
		not  string
	}{
		{"store prune", exitConfig, "the database was last swept at 2026-11-30T12:00:00Z", "removed"},
		{"store prune --before 7d", exitConfig, "if it is right, give the date yourself, such as --before 2036-11-23", "removed"},
		{"store prune --before 2026-11-30", exitOK, "", "removed"},
		{"store status", exitOK, "the clock says 2036-11-30T12:00:00Z", ""},
		{"store prune --before 2026-12-01", exitOK, "removed 2026-11-30", ""},
	} {
		code, out := at("2036-11-30T12:00:00Z", c.args)
		if code != c.code || !strings.Contains(out, c.want) || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%s: exit %d, want %d with %q\n%s", c.args, code, c.code, c.want, out)
		}
	}
}

// TestHistoryForms: JSON as its schema says, one verdict a line, CSV that no spreadsheet takes
// for a formula.
func TestHistoryForms(t *testing.T) {
	url := storeOf(t, historyRows())
	clock := []string{"--now", storetest.Now.Format(time.RFC3339), "--store", url}
	for args, schema := range map[string]string{"history --format json": "verdicts", "history --format json --limit 1": "verdicts", "history --format json fold:sender": "verdicts", "store status --format json": "store", "store check --format json": "store-check",
		"domain acme.test --format json": "domain", "domain other.test --format json": "domain"} {
		code, stdout, stderr := run(nil, "", append(strings.Fields(args), clock...)...)
		if err := matchSchema(schema, stdout); code != exitOK || err != nil {
			t.Errorf("%s: exit %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
	}
	_, stdout, _ := run(nil, "", append([]string{"history", "--format", "jsonl"}, clock...)...)
	if code, _, stderr := run(nil, "", "tail", "fold:sender"); code != exitUsage || !strings.Contains(stderr, "leave out fold:sender") {
		t.Errorf("tail: exit %d, %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var v struct{ Ref, Applied string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &v); err != nil || len(lines) != 2 || v.Ref != "7KQ29F3M" {
		t.Errorf("%v\n%s", err, stdout)
	}
	_, stdout, _ = run(nil, "", append([]string{"history", "--format", "csv"}, clock...)...)
	records, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || len(records) != 3 || records[1][7] != "'=cmd.test" || records[2][1] != "7KQ29F3M" {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// TestStoreBackup: a backup restores to the same history; it reports what is missing.
func TestStoreBackup(t *testing.T) {
	url := storeOf(t, historyRows())
	copied := filepath.Join(t.TempDir(), "copy.db")
	if code, _, stderr := run(nil, "", "store", "backup", copied, "--store", url); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	_, want, _ := run(nil, "", "store", "export", "--store", url)
	_, got, _ := run(nil, "", "store", "export", "--store", store.SQLitePrefix+copied)
	if got != want || strings.Count(got, "\n") != 2 {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if code, _, stderr := run(nil, "", "store", "backup", copied, "--store", url); code != exitCreate {
		t.Errorf("over a file: exit %d: %s", code, stderr)
	}
	none := filepath.Join(t.TempDir(), "none.db")
	if code, _, stderr := run(nil, "", "history", "--store", store.SQLitePrefix+none); code != exitNoInput || !strings.Contains(stderr, "no such database") {
		t.Errorf("no database: exit %d: %s", code, stderr)
	}
	if err := os.WriteFile(none, []byte("this is not a database, and longer than the header of one would have to be"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(nil, "", "history", "--store", store.SQLitePrefix+none); code != exitUnavailable {
		t.Errorf("no SQLite file: exit %d: %s", code, stderr)
	}
	if code, _, _ := run(nil, "", "history", "--store", "mysql://x"); code != exitUsage {
		t.Errorf("no such engine: exit %d", code)
	}
}

// TestStoreCopy: the copy has the same verdicts; a history that a daemon writes to is not copied.
func TestStoreCopy(t *testing.T) {
	from, to := storeOf(t, historyRows()), store.SQLitePrefix+filepath.Join(t.TempDir(), "copy.db")
	defer func(usual time.Duration) { stopTime = usual }(stopTime)
	stopTime = 0 // TestOnceStopped waits
	if code, _, stderr := run(nil, "", "store", "copy", from, to, "--now", storetest.Now.Format(time.RFC3339)); code != exitTempFail || !strings.Contains(stderr, "a daemon writes to it") {
		t.Errorf("in use: exit %d: %s", code, stderr)
	}
	later := storetest.Now.Add(time.Hour).Format(time.RFC3339)
	code, stdout, stderr := run(nil, "", "store", "copy", from, to, "--now", later)
	if code != exitOK || !strings.Contains(stdout, "2 of 2 verdicts, 3 facts, 0 received reports and 1 nodes are copied") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	_, want, _ := run(nil, "", "history", "--store", from, "--now", later)
	if _, got, _ := run(nil, "", "history", "--store", to, "--now", later); got != want || !strings.Contains(got, "7KQ2-9F3M") {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for args, want := range map[string]int{from + " " + from: exitUsage, from + " copy.db": exitUsage, from: exitUsage, "sqlite:/nonexistent/x.db " + to: exitNoInput} {
		if code, _, stderr := run(nil, "", append([]string{"store", "copy"}, strings.Fields(args)...)...); code != want {
			t.Errorf("%s: exit %d, want %d: %s", args, code, want, stderr)
		}
	}
}

// TestExplainFromHistory: a verdict without evidence is shown as the history has it, by its
// reference and by its queue id.
func TestExplainFromHistory(t *testing.T) {
	url := storeOf(t, historyRows())
	config := filepath.Join(t.TempDir(), "p.toml")
	text := "[store]\nurl = '" + url + "'\n[bundles]\ndir = 'none'\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"7kq2-9f3m": "acme.test from lists.example.net", "4XyZ12abce": "V8J8-SAPH"} {
		code, stdout, stderr := run(nil, "", "explain", id, "--config", config)
		if code != exitOK || !strings.Contains(stdout, want) || !strings.Contains(stderr, "no evidence of this verdict is kept") {
			t.Errorf("%s: exit %d\n%s%s", id, code, stdout, stderr)
		}
	}
	if code, _, stderr := run(nil, "", "explain", "ZZZZZZZZ", "--config", config); code != exitNoInput {
		t.Errorf("unknown: exit %d: %s", code, stderr)
	}
}
