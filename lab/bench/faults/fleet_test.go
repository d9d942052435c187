package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// wire is a TCP proxy between the daemons and their database that can be bad in three ways.
type wire struct {
	listener net.Listener
	to       string
	mode     atomic.Value // calm, cut, slow or gone
	cuts     atomic.Int64
	mu       sync.Mutex
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, open: map[net.Conn]bool{}}
	w.mode.Store("calm")
	w.running.Go(w.serve)
	t.Cleanup(func() {
		l.Close()
		w.set("gone")
		w.running.Wait()
	})
	return w
}

// set changes the mode; gone ends the connections too.
func (w *wire) set(mode string) {
	w.mode.Store(mode)
	if mode == "calm" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		c.Close()
	}
}

func (w *wire) serve() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.to)
		if err != nil || w.mode.Load() == "gone" {
			in.Close()
			continue
		}
		w.mu.Lock()
		w.open[in], w.open[out] = true, true
		w.mu.Unlock()
		w.running.Go(func() { // what a daemon sends arrives: the database commits
			io.Copy(out, in)
			out.Close()
		})
		w.running.Go(func() { w.answer(in, out) })
	}
}

// answer hands on what the database says: in mode cut only some octets of it, the answer to a
// COMMIT as likely as any other.
func (w *wire) answer(in, out net.Conn) {
	defer func() {
		in.Close()
		out.Close()
		w.mu.Lock()
		delete(w.open, in)
		delete(w.open, out)
		w.mu.Unlock()
	}()
	left := int64(1) << 40
	if w.mode.Load() == "cut" {
		left = 600 + rand.Int64N(3000)
	}
	buf := make([]byte, 4096)
	for left > 0 {
		n, err := out.Read(buf[:min(int64(len(buf)), left)])
		if err != nil {
			return
		}
		if w.mode.Load() == "slow" {
			time.Sleep(100 * time.Millisecond)
		}
		if _, err := in.Write(buf[:n]); err != nil {
			return
		}
		left -= int64(n)
	}
	w.cuts.Add(1)
}

// sent are the references of the verdicts that clients were given.
type sent struct {
	mu       sync.Mutex
	refs     map[string]bool
	deferred int
	slowest  time.Duration
}

// post sends a message to a daemon. A connection that ends by a kill is not counted.
func (s *sent) post(d *daemon, id string) {
	began := time.Now()
	query := url.Values{"ip": {"192.0.2.1"}, "helo": {id + ".good.test"}, "from": {"a@good.test"}}
	r, err := http.Post("http://"+d.addr("http")+"/v1/verify?"+query.Encode(), "message/rfc822", strings.NewReader("From: a@good.test\r\nMessage-ID: <"+id+"@good.test>\r\n\r\nx\r\n"))
	if err != nil {
		return
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var v struct {
		Ref      string
		Decision struct{ Applied string }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.StatusCode != http.StatusOK || json.Unmarshal(body, &v) != nil || v.Ref == "" {
		s.deferred++
		return
	}
	s.refs[v.Ref] = true
	s.slowest = max(s.slowest, time.Since(began))
	if v.Decision.Applied != "accept" {
		s.deferred++
	}
}

// TestFleet: three daemons write to one PostgreSQL over a wire that is cut, slow and gone, and
// answers to COMMIT get lost; a daemon is killed, the database crashes, and the disk of a daemon
// is a copy of another's. Every verdict is stored once; mail is accepted all the time.
func TestFleet(t *testing.T) {
	longOnly(t)
	pg := pgtest.Begin(t)
	w := newWire(t, pg.Addr)
	direct := pg.Database(t, pg.Addr)
	address := strings.Replace(direct, pg.Addr, w.listener.Addr().String(), 1)
	var nodes []*daemon
	for i := range 3 {
		dir := t.TempDir()
		if i == 2 { // a copy of the first one's disk
			id, err := os.ReadFile(filepath.Join(filepath.Dir(nodes[0].file), "journal", "instance"))
			if err != nil || os.WriteFile(filepath.Join(dir, "instance"), id, 0o600) != nil {
				t.Fatal(err)
			}
		}
		config := func(journal string) string {
			return "[store]\nurl = '" + address + "'\njournal_dir = '" + journal + "'\n"
		}
		d := start(t, config(dir))
		if i == 0 { // where the copy finds it
			if err := os.Symlink(dir, filepath.Join(filepath.Dir(d.file), "journal")); err != nil {
				t.Fatal(err)
			}
		}
		nodes = append(nodes, d)
	}
	db, err := postgres.Open(t.Context(), direct, postgres.Options{ReadOnly: true})
	for began := time.Now(); err != nil; db, err = postgres.Open(t.Context(), direct, postgres.Options{ReadOnly: true}) {
		if time.Since(began) > patience {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	defer db.Close()
	s := &sent{refs: map[string]bool{}}
	var doors []*load
	for _, d := range nodes {
		doors = append(doors, newLoad(d, 100))
	}
	kills := 0
	round := 0
	each := func(times int) {
		for range times {
			round++
			for i, d := range nodes {
				s.post(d, fmt.Sprintf("m%d-%d", round, i))
				if round%10 == 0 {
					doors[i].once()
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	until(t, "a new identity of the copy", func() bool { each(1); return nodes[0].logged("new identity")+nodes[2].logged("new identity") > 0 })
	rounds := often(1, 5)
	if *times == 1 { // .ci/run
		rounds = 2
	}
	for range rounds {
		for _, mode := range []string{"cut", "slow", "gone", "cut"} {
			before := w.cuts.Load()
			w.set(mode)
			each(80)
			if mode == "cut" {
				until(t, "answers that are cut", func() bool { each(2); return w.cuts.Load() >= before+5 })
			}
			if mode == "gone" {
				nodes[1].kill()
				kills++
				nodes[1].run()
				if err := pg.Crash(); err != nil {
					t.Fatal(err)
				}
				each(20)
				if err := pg.Start(); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.set("calm")
		each(20)
	}
	until(t, "the journals", func() bool { return missing(t, db, s) <= 5*kills })
	for _, d := range nodes {
		d.stop()
	}
	found := stored(t, db)
	for ref, n := range found {
		if n > 1 {
			t.Errorf("%s is stored %d times", ref, n)
		}
	}
	if n := missing(t, db, s); n > 5*kills {
		t.Errorf("%d of %d verdicts are missing after %d kills", n, len(s.refs), kills)
	}
	all, err := db.Nodes(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("%d nodes, want 3: %+v, %v", len(all), all, err)
	}
	losses, err := db.Losses(t.Context())
	crashes := 0
	for _, l := range losses {
		switch l.Reason {
		case store.LossCrash:
			crashes++
		case store.LossFailover: // the copy began at a position of the other journal
		default:
			t.Errorf("lost: %+v", l)
		}
	}
	if err != nil || crashes == 0 {
		t.Errorf("the kill is not noted: %+v, %v", losses, err)
	}
	if s.deferred > 0 {
		t.Errorf("%d messages were not accepted", s.deferred)
	}
	for i, l := range doors {
		l.check()
		if n := l.deferred.Load(); n > 0 || l.done["smtp"].Load() == 0 || l.done["milter"].Load() == 0 || l.done["policy"].Load() == 0 {
			t.Errorf("host %d deferred %d messages, and accepted %d by SMTP, %d by milter, %d by policy", i, n, l.done["smtp"].Load(), l.done["milter"].Load(), l.done["policy"].Load())
		}
	}
	t.Logf("%d messages over 3 daemons, %d stored, %d cuts, %d kills and crashes of the database; the slowest answer took %v", len(s.refs), len(found), w.cuts.Load(), kills, s.slowest.Round(time.Millisecond))
}

// stored counts the rows of each reference.
func stored(t *testing.T, db store.Store) map[string]int {
	t.Helper()
	found := map[string]int{}
	days, err := db.Days(t.Context())
	if err != nil {
		t.Log(err)
	}
	for _, day := range days {
		rows, err := db.Page(t.Context(), day, &store.Query{}, store.Cursor{Limit: 1 << 20})
		if err != nil {
			t.Log(err)
		}
		for _, r := range rows {
			found[r.Ref]++
		}
	}
	return found
}

// missing counts the verdicts that are not stored.
func missing(t *testing.T, db store.Store, s *sent) (n int) {
	t.Helper()
	found := stored(t, db)
	for ref := range s.refs {
		if found[ref] == 0 {
			n++
		}
	}
	return n
}
