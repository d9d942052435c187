package faults

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	_ "modernc.org/sqlite"

	"postseal/lab/bench/traffic"
)

// rounds is how many blocks of messages TestStoreLatency sends to each daemon: make outage.
var rounds = flag.Int("rounds", 2, "blocks of messages to each daemon")

// patient is a milter client with one connection to a daemon.
type patient struct {
	name     string
	d        *daemon
	file     string // the database, if it is one
	conn     net.Conn
	session  *milter.ClientSession
	p50, p99 []time.Duration // of each block
}

// TestStoreLatency: an answer of the milter takes as long with a history as without one, whether the
// database works, is locked for a second at a time, or cannot be reached. Blocks of messages go to four
// daemons in turn, so that whatever else the machine does meets all of them. The ratio is judged with many rounds
// only: it needs a machine that does nothing else.
func TestStoreLatency(t *testing.T) {
	store := func(url string) *patient {
		dir := t.TempDir()
		url = strings.Replace(url, "DIR", dir, 1)
		return &patient{file: dir + "/store.db", d: start(t, fmt.Sprintf("[store]\nurl = '%s'\njournal_dir = '%s/journal'\n", url, dir))}
	}
	all := []*patient{store("none"), store("sqlite:DIR/store.db"), store("sqlite:DIR/store.db"), store("postgres://u@127.0.0.1:1/none")}
	for i, name := range []string{"none", "up", "slow", "gone"} {
		all[i].name = name
		all[i].connect()
	}
	defer lockSQLite(t, all[2].file)()
	const messages = 300
	for round := range *rounds + 1 { // the first block warms up
		for i := range all {
			p := all[(i+round)%len(all)]
			took := make([]time.Duration, messages)
			for j := range took {
				took[j] = p.send()
			}
			slices.Sort(took)
			if round > 0 {
				p.p50, p.p99 = append(p.p50, took[messages/2]), append(p.p99, took[messages*99/100])
			}
			time.Sleep(300 * time.Millisecond) // what this block left to be stored does not meet the next one
		}
	}
	base := quiet(all[0].p99)
	for _, p := range all {
		ratio := float64(quiet(p.p99)) / float64(base)
		t.Logf("%-4s: p50 %v, p99 %v, %.2f of that without a history; %.0f rows stored, %.0f octets wait in the journal", p.name, quiet(p.p50), quiet(p.p99), ratio,
			p.d.metric("postseal_store_rows_total", "shipped"), p.d.metric("postseal_store_journal_bytes", ""))
		if ratio > 1.05 && *rounds >= 20 && p.name != "none" {
			t.Errorf("%s: p99 is %.2f of that without a history, want at most 1.05", p.name, ratio)
		}
	}
	sent := float64(messages * (*rounds + 1))
	until(t, "the rows of the working database", func() bool { return all[1].d.metric("postseal_store_rows_total", "shipped") == sent })
	if all[3].d.metric("postseal_store_journal_bytes", "") == 0 {
		t.Error("nothing waits in the journal without a database")
	}
	for _, p := range all {
		if lost := p.d.metric("postseal_store_lost_total", ""); lost > 0 {
			t.Errorf("%s: %.0f rows are lost", p.name, lost)
		}
	}
}

// quiet is the least but for one in ten: what other programs on the machine add is not in it.
func quiet(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/10]
}

func (p *patient) connect() {
	t := p.d.t
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.d.addr("milter"), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p.conn = conn
	if p.session, err = traffic.Milter(conn); err != nil {
		t.Fatal(err)
	}
}

// send sends a forgery and returns how long all of its answers took.
func (p *patient) send() time.Duration {
	t := p.d.t
	t.Helper()
	began := time.Now()
	p.conn.SetDeadline(began.Add(patience))
	action, err := traffic.Send(p.session, "bad.test", 1000)
	took := time.Since(began)
	if err != nil || traffic.Accepted(action) {
		t.Fatalf("%s: %+v, %v", p.name, action, err)
	}
	return took
}

// lockSQLite locks a database for a second at a time, with short pauses. The function that it returns
// ends that.
func lockSQLite(t *testing.T, path string) (end func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				continue
			}
			pause(ctx, time.Second)
			tx.Rollback()
			pause(ctx, 20*time.Millisecond)
		}
	}()
	return func() {
		stop()
		<-ended
		db.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
