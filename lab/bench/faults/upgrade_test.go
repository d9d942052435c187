package faults

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

const migrationFiles = "store/postgres/migrations"

// older builds the daemon as it was before the newest migration, whatever number that had at first, from the history of
// the repository.
func older(t *testing.T) string {
	t.Helper()
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", args...).Output()
		if err != nil {
			t.Skipf("SKIPPED: the version before the newest migration needs the history of the repository: git %s: %v", args[0], err)
		}
		return strings.TrimSpace(string(out))
	}
	root := git("rev-parse", "--show-toplevel")
	files, err := filepath.Glob(filepath.Join(root, migrationFiles, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations")
	}
	newest := migrationFiles + "/" + filepath.Base(slices.Max(files))
	commit := git("-C", root, "log", "--follow", "--diff-filter=A", "--format=%H", "-1", "--", newest)
	if commit == "" {
		t.Skipf("SKIPPED: the history of the repository does not have the commit that added %s", newest)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "old.tar")
	git("-C", root, "archive", "--output", archive, commit+"^")
	for _, c := range []*exec.Cmd{exec.Command("tar", "-C", dir, "-xf", archive), exec.Command("go", "build", "-o", filepath.Join(dir, "old"), "./cmd/postseal")} {
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	return filepath.Join(dir, "old")
}

// TestRollingUpgrade: daemons of the version before the newest migration and of this one share a
// database, one host is upgraded after the other while mail flows, and one goes back again. Every
// verdict is stored once, and mail is accepted all the time.
func TestRollingUpgrade(t *testing.T) {
	if *times < 2 {
		t.Skip("SKIPPED: it builds another version whole; make fleet runs it, and TestNextVersions is shorter")
	}
	old := older(t)
	pg := pgtest.Begin(t)
	address := pg.Database(t, pg.Addr)
	var hosts []*daemon
	for range 3 {
		d := prepare(t)
		d.path, d.env = old, []string{"STATE_DIRECTORY=" + t.TempDir()}
		d.configure("[store]\nurl = '" + address + "'\n")
		d.run()
		hosts = append(hosts, d)
	}
	schema := func() int { return count(t, address, "SELECT max(version_id) FROM postseal.goose_db_version") }
	until(t, "the old schema", func() bool { return schema() > 0 })
	before := schema()
	if got := before; got >= int(postgres.Newest()) { // several migrations can have come together
		t.Fatalf("the old version has schema %d, this one %d", got, postgres.Newest())
	}
	s := &sent{refs: map[string]bool{}}
	round := 0
	mail := func() {
		for range 30 {
			round++
			for i, d := range hosts {
				s.post(d, fmt.Sprintf("u%d-%d", round, i))
			}
		}
	}
	db, err := postgres.Open(t.Context(), address, postgres.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	change := func(i int, path string) {
		t.Helper()
		mail()
		hosts[i].stop()
		hosts[i].path = path
		hosts[i].run()
		mail()
		until(t, "every verdict is stored", func() bool { return missing(t, db, s) == 0 })
	}
	for i := range hosts {
		change(i, program)
		if got := schema(); got != int(postgres.Newest()) {
			t.Fatalf("after host %d: schema %d, want %d", i, got, postgres.Newest())
		}
	}
	change(1, old) // back again, on the new schema
	change(1, program)
	for ref, n := range stored(t, db) {
		if n != 1 {
			t.Errorf("%s is stored %d times", ref, n)
		}
	}
	losses, err := db.Losses(t.Context())
	if err != nil || len(losses) > 0 || s.deferred > 0 || len(s.refs) != 3*round {
		t.Errorf("%d of %d verdicts, %d not accepted, losses %+v, %v", len(s.refs), 3*round, s.deferred, losses, err)
	}
	if nodes, err := db.Nodes(t.Context()); err != nil || len(nodes) != 3 {
		t.Errorf("%d nodes, want 3: %v", len(nodes), err)
	}
	for _, d := range hosts {
		for _, l := range d.lines() {
			if strings.Contains(l, `"level":"ERROR"`) {
				t.Errorf("a host logs an error: %s", l)
			}
		}
		d.stop()
	}
	t.Logf("%d messages over 3 hosts, from schema %d to %d and back", len(s.refs), before, postgres.Newest())
}
