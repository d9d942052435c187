package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// TestHolderKilled: a host that has the lease of a job is killed with SIGKILL at each step of it: after it took
// the lease, after it did the job, while it notes an alarm of all hosts, before and after it sends that, and before and after it shows itself to the others. Another one takes the job when
// the lease ends, an alarm that was not told is told by it, and mail is stored once all the time.
func TestHolderKilled(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	path, err := failing()
	if err != nil {
		t.Fatal(err)
	}
	pg := pgtest.Begin(t)
	for _, point := range []string{"leased:2", "worked:2", "noticed:1", "noted:1", "notified:1", "show:2", "member shown:3"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // it mostly waits
			holderKilled(t, pg, path, point)
		})
	}
}

// ends is what the notification says.
const ends = "lists.test ends on"

func holderKilled(t *testing.T, pg *pgtest.Server, path, point string) {
	address := pg.Database(t, pg.Addr)
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	script := filepath.Join(dir, "tell")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat >>'"+told+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	host := func(point string) *daemon {
		d := prepare(t)
		d.path, d.env = path, []string{"STATE_DIRECTORY=" + t.TempDir(), "POSTSEAL_FAILPOINT=" + point}
		d.configure(fmt.Sprintf("[store]\nurl = '%s'\n[notify]\ncommand = ['%s']\n[[exempt]]\ndkim = 'lists.test'\nwhy = 'x'\nuntil = %s\n", address, script, time.Now().AddDate(0, 0, 2).Format("2006-01-02")))
		d.run()
		return d
	}
	first := host(point)
	select {
	case <-first.ended:
	case <-time.After(patience):
		t.Fatalf("the first host does not reach %s", point)
	}
	if err := first.err; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the first host ended with %v", err)
	}
	holder := func() int {
		return count(t, address, "SELECT hashtext(holder) FROM postseal.lease WHERE name = 'history'")
	}
	before := holder()
	if (point == "leased:2" || point == "worked:2") && before == -1 {
		t.Error("the first host did not have the lease")
	}
	second := host("")
	s := &sent{refs: map[string]bool{}}
	n := 0
	until(t, "another host has the job", func() bool {
		n++
		s.post(second, fmt.Sprint("k", n))
		now := holder()
		return now != -1 && now != before
	})
	until(t, "the alarm is told", func() bool { text, err := os.ReadFile(told); return err == nil && len(text) > 0 })
	first.env = first.env[:1]
	first.run()
	s.post(first, "again")
	db, err := postgres.Open(t.Context(), address, postgres.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	until(t, "every verdict is stored", func() bool { return missing(t, db, s) == 0 })
	for ref, n := range stored(t, db) {
		if n != 1 {
			t.Errorf("%s is stored %d times", ref, n)
		}
	}
	looks := count(t, address, "SELECT count(*) FROM postseal.notice")
	times := 1
	if point == "notified:1" { // that it was sent is not noted, so it is sent again
		times = 2
		until(t, "it is told again", func() bool { text, _ := os.ReadFile(told); return strings.Count(string(text), ends) == times })
	}
	text, err := os.ReadFile(told)
	if n := strings.Count(string(text), ends); err != nil || n != times || looks != 1 || s.deferred > 0 {
		t.Errorf("the alarm is told %d times, %d are noted, %d messages were deferred: %v\n%s", n, looks, s.deferred, err, text)
	}
}
