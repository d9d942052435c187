package faults

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	_ "modernc.org/sqlite"

	"postseal/lab/bench/traffic"
)

// rounds is how many windows of messages TestStoreLatency sends to each daemon: make outage.
var rounds = flag.Int("rounds", 2, "windows of messages to each daemon")

// Each window is a second of messages, longer than the quarter of one after which rows are stored: what storing
// them costs meets the messages of the same daemon.
const (
	windowMessages = 250
	windowPace     = 4 * time.Millisecond
	enoughRounds   = 20 // from which on the ratios are judged
	mostRatio      = 1.05
)

// patient is a milter client with one connection to a daemon.
type patient struct {
	name     string
	d        *daemon
	file     string // the database, if it is one
	conn     net.Conn
	session  *milter.ClientSession
	p50, p99 []time.Duration // of each window
}

// TestStoreLatency: an answer of the milter takes as long with a history as without one, whether the database
// works, is locked for a second at a time, or cannot be reached. Windows of messages go to the daemons in turn,
// and each p99 is compared with that of the window without a history of the same round, so that whatever else
// the machine does meets both. There are two daemons without a history: the others are compared with the mean of
// both, and the second with the first, which shows how much of a ratio is chance.
func TestStoreLatency(t *testing.T) {
	longOnly(t)
	wrap := ahead(t)
	store := func(url string) *patient {
		dir := t.TempDir()
		url = strings.Replace(url, "DIR", dir, 1)
		return &patient{file: dir + "/store.db", d: start(t, fmt.Sprintf("[store]\nurl = '%s'\njournal_dir = '%s/journal'\n", url, dir), wrap...)}
	}
	all := []*patient{store("none"), store("none"), store("sqlite:DIR/store.db"), store("sqlite:DIR/store.db"), store("postgres://u@127.0.0.1:1/none")}
	for i, name := range []string{"none", "again", "up", "slow", "gone"} {
		all[i].name = name
		all[i].connect()
	}
	defer lockSQLite(t, all[3].file)()
	for round := range *rounds + 1 { // the first window warms up
		for i := range all {
			all[(i*(1+round%2*(len(all)-2))+round)%len(all)].window(round > 0)
			time.Sleep(300 * time.Millisecond) // what this window left to be stored does not meet the next one
		}
	}
	all[1].judge(t, all[:1])
	for _, p := range all[2:] {
		p.judge(t, all[:2])
	}
	sent := float64(windowMessages * (*rounds + 1))
	until(t, "the rows of the working database", func() bool { return all[2].d.metric("postseal_store_rows_total", "shipped") == sent })
	if all[4].d.metric("postseal_store_journal_bytes", "") == 0 {
		t.Error("nothing waits in the journal without a database")
	}
	for _, p := range all {
		if lost := p.d.metric("postseal_store_lost_total", ""); lost > 0 {
			t.Errorf("%s: %.0f rows are lost", p.name, lost)
		}
	}
}

// ahead gives this process and the daemons more of the processors than other programs get, where the ratios are
// judged and root runs the test. Real-time priority would be more, but a thread that waits for a lock of the Go
// runtime then keeps the one that has it from running. It returns what daemons are started with.
func ahead(t *testing.T) (wrap []string) {
	t.Helper()
	if *rounds < enoughRounds {
		return nil
	}
	tasks, err := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		id, _ := strconv.Atoi(filepath.Base(task))
		err = errors.Join(err, syscall.Setpriority(syscall.PRIO_PROCESS, id, -20))
	}
	if len(tasks) == 0 || err != nil {
		t.Logf("other programs take part, because this one may not go ahead of them: %v", err)
		return nil
	}
	return []string{"nice", "-n", "-20"}
}

// window sends messages at an even pace.
func (p *patient) window(counts bool) {
	took := make([]time.Duration, windowMessages)
	next := time.Now()
	for i := range took {
		time.Sleep(time.Until(next))
		took[i] = p.send()
		next = next.Add(windowPace)
	}
	if !counts {
		return
	}
	slices.Sort(took)
	p.p50, p.p99 = append(p.p50, took[windowMessages/2]), append(p.p99, took[windowMessages*99/100])
}

// judge compares p99 with that of the same rounds of daemons without a history. The median of the ratios lies between low
// and high with a probability of 95 %: only where all of that is above what is allowed, the ratio is too high, and
// only where all of it is below, it is shown not to be.
func (p *patient) judge(t *testing.T, none []*patient) {
	t.Helper()
	ratios := make([]float64, len(p.p99))
	for i := range ratios {
		sum := time.Duration(0)
		for _, n := range none {
			sum += n.p99[i]
		}
		ratios[i] = float64(p.p99[i]) / float64(sum) * float64(len(none))
	}
	slices.Sort(ratios)
	low, high := medianBetween(len(ratios))
	verdict := "not judged: too few rounds"
	switch {
	case len(ratios) < enoughRounds:
	case ratios[low] > mostRatio:
		verdict = "above 1.05"
		if p.name != "again" {
			t.Errorf("%s: p99 is %.2f to %.2f of that without a history, want at most %.2f", p.name, ratios[low], ratios[high], mostRatio)
		}
	case ratios[high] <= mostRatio:
		verdict = "at most 1.05"
	default:
		verdict = "not decided: use more rounds, or a machine that does nothing else"
	}
	t.Logf("%-5s: p50 %v, p99 %v (without %v, %v); p99 is %.2f of that without a history, %.2f to %.2f: %s; %.0f rows stored, %.0f octets wait in the journal", p.name,
		median(p.p50), median(p.p99), median(none[0].p50), median(none[0].p99), ratios[len(ratios)/2], ratios[low], ratios[high], verdict,
		p.d.metric("postseal_store_rows_total", "shipped"), p.d.metric("postseal_store_journal_bytes", ""))
}

// medianBetween are the places of a sorted list between which the median of what it is a sample of lies with a
// probability of 95 %: each value is below the median with a probability of one half.
func medianBetween(n int) (low, high int) {
	outside, p := 0.0, 1.0
	for range n {
		p /= 2
	}
	for low = 0; low < n/2; low++ {
		if outside += p; outside > 0.025 {
			break
		}
		p *= float64(n-low) / float64(low+1)
	}
	low = max(low-1, 0)
	return low, n - 1 - low
}

func median(list []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(list))[len(list)/2]
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
