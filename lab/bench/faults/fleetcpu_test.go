package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/sqlite"
	"postseal/store/storetest/pgtest"
)

// cpu is the processor time that a process has used (proc(5)).
func (d *daemon) cpu(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.pid()))
	if err != nil {
		t.Skipf("SKIPPED: no /proc: %v", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// costs posts messages to a daemon, two at once, and returns the processor time of all daemons per
// message, until all verdicts are stored.
func costs(t *testing.T, to *daemon, hosts []*daemon, db store.Store, messages int, label string) time.Duration {
	t.Helper()
	s := &sent{refs: map[string]bool{}}
	var before, after time.Duration
	for _, d := range hosts {
		before += d.cpu(t)
	}
	var senders sync.WaitGroup
	const clients = 2
	for c := range clients {
		senders.Go(func() {
			for i := c; i < messages; i += clients {
				s.post(to, fmt.Sprintf("%s-%d", label, i))
			}
		})
	}
	senders.Wait()
	until(t, "every verdict is stored", func() bool { time.Sleep(200 * time.Millisecond); return missing(t, db, s) == 0 })
	if len(s.refs) != messages || s.deferred > 0 {
		t.Errorf("%d of %d messages were accepted", len(s.refs)-s.deferred, messages)
	}
	for _, d := range hosts {
		after += d.cpu(t)
	}
	return (after - before) / time.Duration(messages)
}

// TestFleetCPU: a message costs three daemons with PostgreSQL at most a tenth more than one daemon with
// its own file. Each of the three gets messages in turn, and what all three use is counted: on one host
// they would disturb each other, which they do not on three. The least of several runs counts.
func TestFleetCPU(t *testing.T) {
	if *times == 0 {
		t.Skip("SKIPPED: a measurement; make fleet runs it")
	}
	dir := t.TempDir()
	alone := prepare(t)
	alone.env = []string{"STATE_DIRECTORY=" + dir}
	alone.configure("[store]\nurl = 'sqlite:" + dir + "/store.db'\njournal_dir = '" + dir + "/journal'\n")
	alone.run()
	file, err := sqlite.Open(t.Context(), dir+"/store.db", sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pg := pgtest.Begin(t)
	address := pg.Database(t, pg.Addr)
	var hosts []*daemon
	for range 3 {
		d := prepare(t)
		d.env = []string{"STATE_DIRECTORY=" + t.TempDir()}
		d.configure("[store]\nurl = '" + address + "'\n")
		d.run()
		hosts = append(hosts, d)
	}
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const messages, most = 2000, 1.1
	runs, allowed := 6, 1.3 // a short run is rough
	if *times > 1 {
		runs, allowed = 6*(*times), most
	}
	least := func(a, b time.Duration) time.Duration {
		if a == 0 {
			return b
		}
		return min(a, b)
	}
	var one, three, server time.Duration
	for i := range runs {
		one = least(one, costs(t, alone, []*daemon{alone}, file, messages, fmt.Sprint("one", i)))
		before := pg.CPU(t)
		three = least(three, costs(t, hosts[i%3], hosts, db, messages, fmt.Sprint("three", i)))
		server = least(server, (pg.CPU(t)-before)/messages)
	}
	ratio := float64(three) / float64(one)
	t.Logf("CPU per message: one daemon with SQLite %v, three with PostgreSQL %v: %.2f times; PostgreSQL, the reading of this test included, %v", one, three, ratio, server)
	if ratio > allowed {
		t.Errorf("three daemons cost %.2f times as much per message as one, want at most %.1f", ratio, allowed)
	}
	if server > 60*time.Microsecond {
		t.Errorf("PostgreSQL uses %v per verdict, want at most 60µs", server)
	}
}
