package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/web/ui"
)

// fetch reads a JSON page of the daemon.
func fetch[T any](d *daemonUnderTest, path string) (x T) {
	d.t.Helper()
	status, body := d.get(path)
	if err := json.Unmarshal([]byte(body), &x); status != 200 || err != nil {
		d.t.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return x
}

// do sends a request with a body.
func (d *daemonUnderTest) do(method, path, body string) (int, string) {
	d.t.Helper()
	q, err := http.NewRequest(method, fmt.Sprintf("http://%s%s", d.Addr(listener.HTTP), path), bytes.NewReader([]byte(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	return d.send(q)
}

// TestSystem: what runs, with doctor's checks if they are asked for.
func TestSystem(t *testing.T) {
	d := run(t, listeners)
	s := fetch[ui.System](d, "/v1/system")
	if s.Schema != ui.SystemSchema || s.Host != "mx.test" || s.Version != "test" || len(s.Listeners) < 2 || len(s.Checks) != 0 || s.Log.Level != "info" || len(s.Resolver.Servers) != 1 || len(s.Health) == 0 {
		t.Errorf("%+v", s)
	}
	levels := map[string]string{}
	for _, f := range fetch[ui.System](d, "/v1/system?checks=1").Checks {
		levels[f.Check] = string(f.Level)
	}
	if levels["milter"] != "ok" || levels["http"] != "ok" || levels["postfix"] != "skip" {
		t.Errorf("checks %v", levels)
	}
	if status, _ := d.get("/v1/system?check=1"); status != 400 {
		t.Errorf("an unknown parameter: %d", status)
	}
	for path, want := range map[string]string{"/system": "<h1>All is well on mx.test", "/system?checks=1": "milter answers", "/system/exempt": "you have no exemptions", "/system/config": "enforce"} {
		if status, body := d.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want %q in %s", path, status, want, body)
		}
	}
}

// TestConfiguration: the page says what a reload would change, and where the file is wrong; a reload
// makes the change, and a refused file changes nothing.
func TestConfiguration(t *testing.T) {
	d := run(t, listeners)
	if c := fetch[ui.Configuration](d, "/v1/config"); len(c.Changes) != 0 || len(c.Problems) != 0 || len(c.Keys) < 100 {
		t.Errorf("unchanged: %d keys, %v %v", len(c.Keys), c.Changes, c.Problems)
	}
	d.write("enforce = 'strict'\n" + listeners + "[[exempt]]\ndkim = 'a.test'\nuntil = 2020-01-01\n")
	c := fetch[ui.Configuration](d, "/v1/config")
	if len(c.Changes) != 2 || c.Changes[0] != (conf.Change{Path: "enforce", Was: `"guarded"`, Is: `"strict"`}) || len(c.Problems) != 1 || !c.Problems[0].Warning || c.Problems[0].Source != "until = 2020-01-01" || !strings.HasSuffix(c.Problems[0].Caret, "^") {
		t.Errorf("changed: %+v %+v", c.Changes, c.Problems)
	}
	if d.engine.Current().Config.Enforce != "guarded" {
		t.Error("looking changes something")
	}
	if status, body := d.do("POST", "/v1/reload", ""); status != 200 || !strings.Contains(body, `"changes":[]`) || d.engine.Current().Config.Enforce != "strict" {
		t.Errorf("reload: %d %s", status, body)
	}
	d.write("enforce = 'mild'\n" + listeners + "[store]\nurl = 'postgres://p:hunter2@db.test/p?x='\nnone = 1\n")
	status, body := d.do("POST", "/v1/reload", "")
	if status != 409 || !strings.Contains(body, "mild") || d.engine.Current().Config.Enforce != "strict" {
		t.Errorf("a wrong file: %d %s", status, body)
	}
	c = fetch[ui.Configuration](d, "/v1/config")
	if len(c.Problems) < 2 || c.Problems[0].Line != 2 || c.Problems[0].Source != "enforce = 'mild'" || c.Problems[0].Caret != "          ^" {
		t.Errorf("problems %+v", c.Problems)
	}
	if _, page := d.get("/system/config"); !strings.Contains(page, "a reload would be refused") || strings.Contains(page, "hunter2") {
		t.Errorf("%s", page)
	}
}

// TestSourceLine: a line that may hold a secret is not shown.
func TestSourceLine(t *testing.T) {
	for line, want := range map[string]string{"enforce = 'mild'": "enforce = 'mild'|          ^", "url = 'postgres://p:x@db/p'": "|", "webhook_secret = 1": "|", "\tkey = 'ü'": " key = 'ü'|          ^", strings.Repeat("x", maxSourceLine+1): "|", "a = '\xff'": "|"} {
		if text, caret := sourceLine(line, 11); text+"|"+caret != want && !strings.Contains(line, "ü") {
			t.Errorf("%q: %q %q", line, text, caret)
		}
	}
	if text, caret := sourceLine("ü = 1", 4); text != "ü = 1" || caret != "  ^" {
		t.Errorf("%q %q", text, caret)
	}
}

// TestExemptHits: the hits of an entry are those of the history, by what it matches, wherever it stands
// in the file now.
func TestExemptHits(t *testing.T) {
	const entry = "[[exempt]]\nip = '192.0.2.0/24'\nwhy = 'ticket: 812'\n"
	kept := "[store]\nurl = 'sqlite:" + t.TempDir() + "/store.db'\njournal_dir = '" + t.TempDir() + "'\n"
	d := run(t, listeners+kept+entry)
	const message = "From: a@reject.test\n\nx\n"
	for range 3 {
		d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", message)
	}
	d.post("ip=198.51.100.1&helo=x.test&from=b@reject.test", message)
	d.write(listeners + kept + "[[exempt]]\ndkim = 'other.test'\nuntil = " + time.Now().AddDate(0, 0, 3).Format(time.DateOnly) + "\n" + entry + "[[rule]]\nname = 'x'\nwhen = 'true'\naction = 'quarantine'\n")
	d.reread("msg=reloaded")
	var x ui.Exemptions
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // until they are shipped
		if x = fetch[ui.Exemptions](d, "/v1/exempt"); len(x.Entries) == 3 && x.Entries[1].Month == 3 {
			break
		}
	}
	if len(x.Entries) != 3 {
		t.Fatalf("%+v", x)
	}
	other, e, rule := x.Entries[0], x.Entries[1], x.Entries[2]
	if other.Month != 0 || !other.Ending || other.Days != 3 && other.Days != 2 || e.Month != 3 || e.Week != 3 || e.LastRef == "" || e.Asked["reject"] != 3 || !strings.Contains(e.TOML, "ip = '192.0.2.0/24'") || rule.Entry != "x: true" || rule.Action != "quarantine" {
		t.Errorf("%+v\n%+v\n%+v", other, e, rule)
	}
	if _, page := d.get("/system/exempt"); !strings.Contains(page, "1 entry ends within 14 days") {
		t.Errorf("%s", page)
	}
}

// TestEntryOf: a verdict names the entry that decided it.
func TestEntryOf(t *testing.T) {
	x := &ui.Exemptions{Entries: []ui.ExemptEntry{{Table: "exempt", Index: 1, Label: "dkim=a.test"}, {Table: "exempt", Index: 2, Label: "dkim=a.test author=b.test"}, {Table: "rule", Index: 1, Label: "1"}, {Table: "rule", Index: 2}}}
	for text, want := range map[string]int{"exempt 7 dkim=a.test": 0, "exempt 1 dkim=a.test: why: not": 0, "exempt 1 dkim=a.test author=b.test: x": 1, "exempt 1 dkim=a.test author=c.test": -1, "rule 9 1": 2, "rule 2": 3, "rule 2: why": 3, "rule 3": -1, "guarded: indirect": -1, "exempt 1": -1, "": -1} {
		table, _, _ := strings.Cut(text, " ")
		got := entryOf(x, table, text)
		if (got == nil) != (want < 0) || got != nil && got != &x.Entries[want] {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestWhatIfEntry: the policy in force with the exemption for a message, and without an entry.
func TestWhatIfEntry(t *testing.T) {
	d := run(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\nkeep = 'all'\n[[exempt]]\nip = '198.51.100.0/24'\n")
	d.post("ip=198.51.100.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")
	ref := d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")["ref"].(string)
	d.bundles.settle(t.Context())
	if status, body := d.get("/v1/whatif?b=exempt-" + ref); status != 200 || !strings.Contains(body, `"changed":1`) || !strings.Contains(body, `"to":"accept"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := d.get("/v1/whatif?b=without-exempt-1"); status != 200 || !strings.Contains(body, `"changed":1`) || !strings.Contains(body, `"from":"accept","to":"reject"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := d.get("/whatif?b=exempt-" + ref); status != 200 || !strings.Contains(body, "192.0.2.1") || !strings.Contains(body, "[[exempt]]") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := d.get("/v/" + ref); status != 200 || !strings.Contains(body, "/whatif?a=live&amp;b=exempt-"+ref) {
		t.Errorf("%d %s", status, body)
	}
	for name, want := range map[string]int{"exempt-ZZZZZZZZ": 404, "without-exempt-2": 400, "without-rule-0": 400, "without-x-1": 400, "without-": 400} {
		if status, body := d.get("/v1/whatif?b=" + name); status != want {
			t.Errorf("%s: %d, want %d: %s", name, status, want, body)
		}
	}
}

// TestLogLevel: a level that a person set falls back after 15 minutes, or at once.
func TestLogLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogLevel("warn")
		if err := l.use("debug", time.Now()); err != nil {
			t.Fatal(err)
		}
		if s := l.state(); s.Level != "debug" || s.Configured != "warn" || s.Until == nil || !s.Until.Equal(time.Now().Add(levelLasts)) || l.Level() != slog.LevelDebug {
			t.Errorf("%+v", s)
		}
		time.Sleep(10 * time.Minute)
		l.use("info", time.Now()) //nolint:errcheck // it is a level
		time.Sleep(10 * time.Minute)
		if l.Level() != slog.LevelInfo {
			t.Errorf("the time of the first level ended the second: %v", l.Level())
		}
		time.Sleep(levelLasts)
		if s := l.state(); s.Level != "warn" || s.Until != nil {
			t.Errorf("%+v", s)
		}
		l.use("debug", time.Now()) //nolint:errcheck // it is a level
		l.use("warn", time.Now())  //nolint:errcheck // it is a level
		if s := l.state(); s.Level != "warn" || s.Until != nil {
			t.Errorf("%+v", s)
		}
		if l.use("loud", time.Now()) == nil || l.use("", time.Now()) == nil || l.use("debug+1", time.Now()) == nil {
			t.Error("no level, and taken")
		}
	})
	d := run(t, listeners)
	before := len(d.log.String())
	if status, body := d.do("PUT", "/v1/log-level", `{"level":"debug"}`); status != 200 || !strings.Contains(body, `"until"`) {
		t.Errorf("%d %s", status, body)
	}
	d.says(before, "the log level was changed in the console")
	if !d.Daemon.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug is not logged")
	}
	for _, body := range []string{`{"level":"loud"}`, `{`, `{"level":"info","minutes":99}`} {
		if status, _ := d.do("PUT", "/v1/log-level", body); status != 400 {
			t.Errorf("%s: %d", body, status)
		}
	}
}

// TestLookup: the answers of the resolver that mail is checked with.
func TestLookup(t *testing.T) {
	d := runOn(t, listeners, zone+"hostile.test. 60 TXT \"<b>\\007\"\nmx.test. 60 MX 10 mail.mx.test.\n4.2.0.192.in-addr.arpa. 60 PTR four.test.\n")
	for path, want := range map[string]string{"name=_dmarc.reject.test": "v=DMARC1; p=reject", "name=hostile.test.&type=txt": "<b>\uFFFD", "name=mx.test&type=MX": "10 mail.mx.test.", "name=192.0.2.4": "four.test."} {
		x := fetch[ui.LookedUp](d, "/v1/lookup?"+path)
		if !slices.Contains(x.Records, want) || x.Cached {
			t.Errorf("%s: %+v, want %q", path, x, want)
		}
	}
	if x := fetch[ui.LookedUp](d, "/v1/lookup?name=_dmarc.reject.test"); !x.Cached {
		t.Errorf("asked again: %+v", x)
	}
	if x := fetch[ui.LookedUp](d, "/v1/lookup?name=none.test"); !x.NXDomain || len(x.Records) != 0 {
		t.Errorf("%+v", x)
	}
	for _, path := range []string{"", "name=a+b", "name=a.test&type=ANY", "name=" + strings.Repeat("a.", 200) + "test", "nome=x"} {
		if status, body := d.get("/v1/lookup?" + path); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, page := d.get("/system?name=hostile.test&type=TXT"); status != 200 || !strings.Contains(page, "&lt;b&gt;") {
		t.Errorf("%d %s", status, page)
	}
}

// TestLicenses: the license of each module in the program is in licenses.json: go test ./server -run
// TestLicenses -update writes it.
func TestLicenses(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "../cmd/postseal").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && dir != "" && all[path] == "" {
			if all[path] = licenseIn(dir); all[path] == "" {
				t.Errorf("%s: no license is known in %s", path, filepath.Base(dir))
			}
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile("licenses.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != string(licenseText) {
		t.Error("licenses.json is not what the modules say: go test ./server -run TestLicenses -update")
	}
}

// licenseIn reads the license of a module.
func licenseIn(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "[LlCU][IiOoNn][CcPpLl]*")) //nolint:errcheck // the pattern is right
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		plain := strings.Join(strings.Fields(string(text)), " ")
		for _, l := range []struct{ id, sign string }{{"Apache-2.0", "Apache License"}, {"MPL-2.0", "Mozilla Public License"}, {"BSD-3-Clause", "Neither the name"}, {"BSD-3-Clause", "names of its contributors may be used"}, {"BSD-2-Clause", "Redistributions of source code must"}, {"ISC", "Permission to use, copy, modify, and/or distribute"}, {"ISC", "Permission to use, copy, modify, and distribute"}, {"MIT", "Permission is hereby granted, free of charge"}, {"Unlicense", "released into the public domain"}, {"BSD-2-Clause", "Redistribution and use"}} {
			if strings.Contains(plain, l.sign) {
				return l.id
			}
		}
	}
	return ""
}
