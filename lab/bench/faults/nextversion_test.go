package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// nextVersion builds the daemon of a version that does not exist: with one migration more, and with the
// number of a major version.
func nextVersion(t *testing.T, major, migration string) string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	engine := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "store", "postgres")
	code, err := os.ReadFile(filepath.Join(engine, "major.go"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replaced := map[string]string{}
	replace := func(path, text string) {
		t.Helper()
		replaced[filepath.Join(engine, path)] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := fmt.Sprintf("const Major = %q", postgres.Major)
	if strings.Count(string(code), own) != 1 {
		t.Fatalf("major.go does not have %q", own)
	}
	replace("major.go", strings.Replace(string(code), own, fmt.Sprintf("const Major = %q", major), 1))
	replace("migrations/00998_next.sql", "-- +goose Up\nALTER TABLE postseal.node ADD COLUMN next text NOT NULL DEFAULT '';\nCREATE TABLE postseal.next (x text);\n")
	if migration != "" {
		replace("migrations/00999_next.sql", "-- +goose Up\n"+migration)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil || os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600) != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "next")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "postseal/cmd/postseal").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestNextVersions: three hosts are upgraded one after the other to the next minor version, one goes back and forth, and
// then to the next major version, of which one begins while two of the old one run. Those, and one that is started again,
// write nothing into the new schema: their verdicts wait in the journal until they are upgraded. Every verdict is
// stored once, and mail is accepted all the time.
func TestNextVersions(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	minor := nextVersion(t, postgres.Major, "")
	major := nextVersion(t, "2", "DROP TABLE postseal.next;\nUPDATE postseal.meta SET value = '2' WHERE key = 'major';\n")
	pg := pgtest.Begin(t)
	address := pg.Database(t, pg.Addr)
	var hosts []*daemon
	var states []string
	for i := range 3 {
		d := prepare(t)
		states = append(states, t.TempDir())
		d.env = []string{"STATE_DIRECTORY=" + states[i]}
		d.configure("[store]\nurl = '" + address + "'\n")
		d.run()
		hosts = append(hosts, d)
	}
	s := &sent{refs: map[string]bool{}}
	round := 0
	mail := func() {
		for range 20 {
			round++
			for i, d := range hosts {
				s.post(d, fmt.Sprintf("n%d-%d", round, i))
			}
		}
	}
	rows := func() int { return count(t, address, "SELECT count(*) FROM postseal.verdict") }
	stored := func() {
		t.Helper()
		until(t, "every verdict is stored", func() bool { return rows() == len(s.refs) })
	}
	version := func(want string) {
		t.Helper()
		if got := count(t, address, "SELECT max(version_id) * 10 + (SELECT value::int FROM postseal.meta WHERE key = 'major') FROM postseal.goose_db_version"); fmt.Sprint(got) != want {
			t.Errorf("schema %d, want %s", got, want)
		}
	}
	upgrade := func(i int, path string) {
		t.Helper()
		mail()
		hosts[i].stop()
		hosts[i].path = path
		hosts[i].run()
		mail()
	}
	stored()
	for _, step := range []struct {
		host int
		path string
	}{{0, minor}, {1, minor}, {1, program}, {2, minor}, {1, minor}} {
		upgrade(step.host, step.path)
		stored()
		version("9981")
	}

	upgrade(0, major)
	version("9992")
	waits := func(i, times int) {
		t.Helper()
		until(t, "an old host says that its verdicts wait", func() bool { return hosts[i].logged("it has version 2, this postseal knows 1") >= times })
	}
	waits(1, 1)
	waits(2, 1)
	of := func(host int) int {
		t.Helper()
		id, err := os.ReadFile(filepath.Join(states[host], "journal", "instance"))
		if err != nil {
			t.Fatal(err)
		}
		return count(t, address, "SELECT count(*) FROM postseal.verdict WHERE node = (SELECT slot FROM postseal.node WHERE instance = '"+strings.Fields(string(id))[0]+"')")
	}
	before := [3]int{1: of(1), 2: of(2)}
	old := func() {
		t.Helper()
		for i := 1; i < 3; i++ {
			if got := of(i); got != before[i] {
				t.Errorf("old host %d wrote %d verdicts into the new schema", i, got-before[i])
			}
		}
	}
	mail()
	until(t, "the new host stores its verdicts", func() bool { return of(0) == round })
	old()
	upgrade(1, program) // it does not begin to write either
	waits(1, 2)
	old()
	upgrade(1, major)
	upgrade(2, major)
	stored()
	version("9992")
	if n := count(t, address, "SELECT count(DISTINCT ref) FROM postseal.verdict"); n != len(s.refs) || len(s.refs) != 3*round || s.deferred > 0 {
		t.Errorf("%d of %d verdicts are stored, %d were not accepted", n, 3*round, s.deferred)
	}
	if n := count(t, address, "SELECT count(*) FROM postseal.loss"); n != 0 {
		t.Errorf("%d losses are noted", n)
	}
	for _, d := range hosts {
		d.stop()
	}
	t.Logf("%d messages over 3 hosts, to the next minor version and back, and to the next major one", len(s.refs))
}
