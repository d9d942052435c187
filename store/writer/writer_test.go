package writer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postseal/store"
	"postseal/store/journal"
	"postseal/store/sqlite"
	"postseal/store/storetest"
	"postseal/store/writer"
)

// TestMain lets more tests run side by side than there are processors, because most of them wait.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WRITER_TEST_CRASH"); dir != "" {
		crashing(dir)
	}
	if !raced {
		flag.Set("test.parallel", "4") // go test -parallel has the last word
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// raced is set by the race detector, under which tests wait for the processor.
var raced bool

// site is the state directory of one host, with a writer that may be started again.
type site struct {
	t    testing.TB
	dir  string
	log  *logged
	j    journal.Options
	now  func() time.Time
	wrap func(store.Store) store.Store
	down atomic.Bool // opening the database fails

	journal *journal.Journal // of the last start
}

type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t testing.TB) *site {
	now := storetest.Now
	return &site{t: t, dir: t.TempDir(), log: &logged{}, now: func() time.Time { return now }, wrap: func(s store.Store) store.Store { return s }}
}

func (s *site) path() string { return filepath.Join(s.dir, "store.db") }

func (s *site) start() *writer.Writer {
	s.t.Helper()
	dir := filepath.Join(s.dir, "journal")
	j, r, err := journal.Open(dir, s.j)
	if err != nil {
		s.t.Fatal(err)
	}
	s.journal = j
	w, err := writer.New(writer.Options{Journal: j, Recovered: r, Dir: dir, Name: "mx1", Log: slog.New(slog.NewTextHandler(s.log, nil)), Now: s.now,
		Pause: 20 * time.Millisecond,
		Open: func(ctx context.Context) (store.Store, error) {
			if s.down.Load() {
				return nil, errors.New("the database is down")
			}
			db, err := sqlite.Open(ctx, s.path(), sqlite.Options{})
			if err != nil {
				return nil, err
			}
			return s.wrap(db), nil
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

func (s *site) end(w *writer.Writer) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		s.t.Error(err)
	}
}

// open opens the database for reading.
func (s *site) open() *sqlite.DB {
	s.t.Helper()
	db, err := sqlite.Open(context.Background(), s.path(), sqlite.Options{ReadOnly: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return db
}

// stored returns what the database has: rows by their queue id, and the losses.
func (s *site) stored() (rows map[string]int, lost map[string]int64) {
	s.t.Helper()
	db := s.open()
	defer db.Close()
	rows, lost = map[string]int{}, map[string]int64{}
	days, err := db.Days(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range days {
		page, err := db.Page(context.Background(), d, &store.Query{}, store.Cursor{Limit: 1 << 20})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range page {
			rows[r.QID]++
		}
	}
	losses, err := db.Losses(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range losses {
		lost[l.Reason] += l.N
	}
	return rows, lost
}

// wantAll: n rows went in; each is there once, but for those that are counted as lost.
func (s *site) wantAll(n int, reasons ...string) {
	s.t.Helper()
	rows, lost := s.stored()
	for qid, times := range rows {
		if times != 1 {
			s.t.Errorf("row %s is there %d times", qid, times)
		}
	}
	sum := int64(len(rows))
	for reason, n := range lost {
		if !slices.Contains(reasons, reason) {
			s.t.Errorf("%d lost by %s", n, reason)
		}
		sum += max(n, 0)
	}
	if sum != int64(n) {
		s.t.Errorf("%d rows and %v lost, of %d\n%s", len(rows), lost, n, s.log)
	}
}

func row(i int) store.Row {
	r := storetest.Rows(1, 1, uint64(i))[0]
	r.QID = fmt.Sprintf("Q%d", i)
	r.Millis = store.Millis(storetest.Now)
	return r
}

func add(w *writer.Writer, from, n int) {
	for i := range n {
		w.Add(row(from + i))
		if i%1000 == 999 {
			time.Sleep(20 * time.Millisecond) // a queue of 4096 is drained faster than that
		}
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestShips: what is added is stored once, also over restarts.
func TestShips(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 3 {
		w := s.start()
		add(w, i*2500, 2500)
		s.end(w)
	}
	s.wantAll(7500)
}

// TestDatabaseDown: rows wait in the journal, over a restart too, and are stored when the
// database is back.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.down.Store(true)
	w := s.start()
	add(w, 0, 1500)
	eventually(t, "a line in the log", func() bool { return strings.Contains(s.log.String(), "they wait in the journal") })
	eventually(t, "the journal", func() bool { return w.Stats().Pending > 500000 })
	if st := w.Stats(); st.Up || st.Pending == 0 {
		t.Errorf("%+v", st)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
	w = s.start()
	add(w, 1500, 10)
	eventually(t, "a second line in the log", func() bool { return strings.Count(s.log.String(), "they wait in the journal") == 2 })
	s.down.Store(false)
	eventually(t, "the rows", func() bool { return w.Stats().Shipped == 1510 })
	s.end(w)
	s.wantAll(1510)
	if !strings.Contains(s.log.String(), "accepts verdicts again") {
		t.Errorf("the log does not tell that it is back:\n%s", s.log)
	}
}

// faulty is a database that fails now and then.
type faulty struct {
	store.Store
	before func(*store.Batch) error // nil continues
	after  func() error             // what the caller learns about a commit
}

func (f *faulty) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (store.Shipped, error) {
	if f.before != nil {
		if err := f.before(b); err != nil {
			return store.Shipped{}, err
		}
	}
	s, err := f.Store.Ship(ctx, n, from, to, b)
	if err == nil && f.after != nil {
		err = f.after()
	}
	return s, err
}

// TestDoubtfulCommit: every other commit is not answered; no row is lost or stored twice.
func TestDoubtfulCommit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := 0
	s.wrap = func(db store.Store) store.Store {
		return &faulty{Store: db, after: func() error {
			if n++; n%2 == 1 {
				return errors.New("the connection is gone")
			}
			return nil
		}}
	}
	for i := range 3 {
		w := s.start()
		add(w, i*1200, 1200)
		eventually(t, "the rows", func() bool { rows, _ := s.tryStored(); return len(rows) == (i+1)*1200 })
		s.end(w)
	}
	s.wantAll(3600)
}

func (s *site) tryStored() (rows map[string]int, lost map[string]int64) {
	db, err := sqlite.Open(context.Background(), s.path(), sqlite.Options{ReadOnly: true})
	if err != nil {
		return nil, nil
	}
	defer db.Close()
	if nodes, err := db.Nodes(context.Background()); err != nil || len(nodes) == 0 { // it is being made
		return nil, nil
	}
	return s.stored()
}

// TestRefusedRow: one row that the database does not take is set aside and counted; the rows
// around it are stored.
func TestRefusedRow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.wrap = func(db store.Store) store.Store {
		return &faulty{Store: db, before: func(b *store.Batch) error {
			if slices.ContainsFunc(b.Rows, func(r store.Row) bool { return r.QID == "Q77" || r.QID == "Q500" }) {
				return &store.RefusedError{Err: errors.New("a value is out of range")}
			}
			return nil
		}}
	}
	w := s.start()
	add(w, 0, 1000)
	eventually(t, "the rows", func() bool { return w.Stats().Shipped == 998 })
	s.end(w)
	s.wantAll(1000, store.LossBad)
	bad, err := os.ReadFile(filepath.Join(s.dir, "journal", "bad.jsonl"))
	if err != nil || strings.Count(string(bad), "\n") != 2 || !strings.Contains(string(bad), `"Q77"`) {
		t.Errorf("%s, %v", bad, err)
	}
}

// TestAhead: a row more than a day ahead of the clock is bad; one that is late is stored.
func TestAhead(t *testing.T) {
	s := newSite(t)
	w := s.start()
	r := row(0)
	r.Millis += 25 * 3600 * 1000
	w.Add(r)
	r = row(1)
	r.Millis -= 40 * 24 * 3600 * 1000
	w.Add(r)
	s.end(w)
	w = s.start()
	s.end(w)
	s.wantAll(2, store.LossBad)
}

// TestJournalFull: while the database is down and the journal is full, the newest rows are
// lost, and counted to the row; what is kept is stored when the database is back.
func TestJournalFull(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.j = journal.Options{MaxBytes: 1 << 20, SegmentBytes: 256 << 10}
	s.down.Store(true)
	w := s.start()
	add(w, 0, 10000)
	eventually(t, "losses", func() bool { return w.Stats().Lost[store.LossJournal] > 0 })
	s.down.Store(false)
	eventually(t, "the rows", func() bool {
		st := w.Stats()
		return st.Shipped+st.Lost[store.LossJournal]+st.Lost[store.LossQueue] == 10000
	})
	eventually(t, "the losses", func() bool { _, lost := s.tryStored(); return lost[store.LossJournal] > 0 })
	s.end(w)
	s.wantAll(10000, store.LossJournal, store.LossQueue)
}

// TestQueueFull: Add never waits; rows that find the queue full are counted to the row.
func TestQueueFull(t *testing.T) {
	s := newSite(t)
	w := s.start()
	r := row(0)
	for i := range 50000 {
		r.QID = fmt.Sprintf("Q%d", i)
		w.Add(r)
	}
	s.end(w)
	w = s.start() // what the journal still holds, on a slow machine
	eventually(t, "the rest of the journal", func() bool { return w.Stats().Pending == 0 })
	s.end(w)
	s.wantAll(50000, store.LossQueue)
}

// TestClone: two processes with one identity: the one that is found out gets a new one; rows of
// both are stored once, also when the first one had the identity for long.
func TestClone(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 2 * cloneTime} {
		t.Run(after.String(), func(t *testing.T) { testClone(t, after) })
	}
}

const cloneTime = time.Minute

func testClone(t *testing.T, after time.Duration) {
	s := newSite(t)
	var passed atomic.Int64
	s.now = func() time.Time { return storetest.Now.Add(time.Duration(passed.Load())) }
	w := s.start()
	add(w, 0, 10)
	eventually(t, "the rows", func() bool { return w.Stats().Shipped == 10 })
	passed.Store(int64(after))
	other := newSite(t)
	other.now = s.now
	if err := os.MkdirAll(filepath.Join(other.dir, "journal"), 0o750); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(s.dir, "journal", "instance"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.dir, "journal", "instance"), id, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.path(), other.path()); err != nil {
		t.Fatal(err)
	}
	w2 := other.start()
	n := 10
	eventually(t, "a new identity", func() bool {
		add(w, n, 1)
		add(w2, n+1, 1)
		n += 2
		time.Sleep(300 * time.Millisecond)
		return strings.Contains(s.log.String()+other.log.String(), "new identity")
	})
	add(w, n, 5)
	add(w2, n+5, 5)
	n += 10
	s.end(w)
	other.end(w2)
	s.wantAll(n, store.LossFailover)
}

// crashing is the process that TestKilled kills: it adds rows and says on standard output
// how many.
func crashing(dir string) {
	s := &site{t: &testing.T{}, dir: dir, log: &logged{}, now: time.Now, wrap: func(s store.Store) store.Store { return s }}
	w := s.start()
	for i := 0; ; i++ {
		r := row(i)
		r.QID = fmt.Sprintf("P%d-%d", os.Getpid(), i)
		w.Add(r)
		fmt.Println(i)
		time.Sleep(100 * time.Microsecond)
	}
}

// TestKilled: kill -9 at any time loses no more than what came within the last moment, no
// row is stored twice, and the crash is noted.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	total := 0
	for i := range 5 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "WRITER_TEST_CRASH="+s.dir)
		out := &logged{}
		c.Stdout = out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "rows", func() bool { return strings.Count(out.String(), "\n") > 200+i*75 })
		c.Process.Kill()
		c.Wait()
		total += strings.Count(out.String(), "\n")
	}
	w := s.start()
	s.end(w)
	rows, lost := s.stored()
	for qid, n := range rows {
		if n != 1 {
			t.Errorf("%s is there %d times", qid, n)
		}
	}
	if missing := total - len(rows); missing > 5*100 || missing < -5 {
		t.Errorf("%d rows of %d are stored", len(rows), total)
	}
	if lost[store.LossCrash] >= 0 {
		t.Errorf("the crashes are not noted: %v", lost)
	}
}

// TestOldCopy: a database that was restored from an old copy is filled again from the
// journal, which keeps shipped segments for an hour.
func TestOldCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.start()
	add(w, 0, 100)
	s.end(w)
	copied := filepath.Join(s.dir, "copy.db")
	db, err := sqlite.Open(t.Context(), s.path(), sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	db.Close()
	w = s.start()
	add(w, 100, 100)
	s.end(w)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(s.path() + suffix)
	}
	if err := os.Rename(copied, s.path()); err != nil {
		t.Fatal(err)
	}
	w = s.start()
	add(w, 200, 100)
	s.end(w)
	s.wantAll(300)
}
