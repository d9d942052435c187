package writer_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/journal"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
	"postseal/store/writer"
)

// cutter is a TCP proxy in front of the database that cuts connections: after some octets of
// an answer, the answer to COMMIT included.
type cutter struct {
	listener net.Listener
	to       string
	after    func() int64 // octets of answers until the next cut; 0: never
	cuts     atomic.Int64
	running  sync.WaitGroup
}

func newCutter(t *testing.T, to string, after func() int64) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: to, after: after}
	c.running.Go(c.serve)
	t.Cleanup(func() { l.Close() })
	return c
}

func (c *cutter) serve() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.running.Go(func() {
			io.Copy(out, in) // what the client sends arrives: the database commits
			out.(*net.TCPConn).CloseWrite()
		})
		c.running.Go(func() {
			n := c.after()
			if n == 0 {
				io.Copy(in, out)
			} else if copied, _ := io.CopyN(in, out, n); copied == n {
				c.cuts.Add(1)
			}
			in.Close()
			out.Close()
		})
	}
}

// TestCutConnections: connections are cut at any octet of an answer, and the database crashes
// in between; no row is lost or stored twice.
func TestCutConnections(t *testing.T) {
	pgtest.Long(t)
	s := pgtest.Begin(t)
	r := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	var calm atomic.Bool
	proxy := newCutter(t, s.Addr, func() int64 {
		mu.Lock()
		defer mu.Unlock()
		if calm.Load() {
			return 0
		}
		return 450 + r.Int64N(600)
	})
	direct := s.Database(t, s.Addr)
	db, err := postgres.Open(t.Context(), direct, postgres.Options{}) // migrated in peace
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	address := "postgres://postgres@" + proxy.listener.Addr().String() + direct[len("postgres://postgres@")+len(s.Addr):]
	dir := filepath.Join(t.TempDir(), "journal")
	j, recovered, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	w, err := writer.New(writer.Options{Journal: j, Recovered: recovered, Dir: dir, Name: "mx1", Log: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return storetest.Now },
		Pause: 5 * time.Millisecond,
		Open: func(ctx context.Context) (store.Store, error) {
			return postgres.Open(ctx, address, postgres.Options{ReadOnly: true})
		}})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	crashed := false
	for began := time.Now(); proxy.cuts.Load() < 8 && time.Since(began) < 15*time.Second; time.Sleep(20 * time.Millisecond) {
		for range 10 {
			v := row(rows)
			v.Millis -= int64(rows) // each has its own time
			w.Add(v)
			rows++
		}
		if proxy.cuts.Load() >= 3 && !crashed {
			crashed = true
			if err := s.Crash(); err != nil {
				t.Error(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	calm.Store(true)
	if proxy.cuts.Load() == 0 {
		t.Errorf("%d connections were cut", proxy.cuts.Load())
	}
	defer func() {
		if t.Failed() {
			t.Logf("%d cuts, %+v\n%s", proxy.cuts.Load(), w.Stats(), log)
		}
	}()
	count := func() (n int) {
		n, err := db.Count(t.Context(), store.DayOf(store.Millis(storetest.Now)), &store.Query{}, 1<<20)
		if err != nil {
			t.Log(err)
		}
		return n
	}
	eventually(t, "the rows", func() bool { return count() >= rows })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
	qids := map[string]int{}
	for _, r := range storetest.All(t, db) {
		qids[r.QID]++
	}
	if n := count(); n != rows || len(qids) != rows {
		t.Errorf("%d rows, %d of them different, want %d; %d cuts\n%s", n, len(qids), rows, proxy.cuts.Load(), log)
	}
	t.Logf("%d cuts and a crash of the server: %d rows, each once", proxy.cuts.Load(), rows)
}
