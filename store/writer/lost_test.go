package writer_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/storetest"
)

// copyDir copies the files of a folder, as a disk has them after a power cut.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

// TestPowerCut: after a power cut the disk has the journal as of the last fdatasync, and the
// database as of any time. What was synced is stored once; the rest is noted as lost.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"none", "older", "newer"} {
		t.Run(database, func(t *testing.T) {
			s, disk := newSite(t), newSite(t)
			w := s.start()
			add(w, 0, 200)
			eventually(t, "the first rows", func() bool { return w.Stats().Shipped == 200 })
			if database == "older" {
				s.copyDatabase(disk)
			}
			add(w, 200, 300)
			eventually(t, "the rows", func() bool { return w.Stats().Shipped == 500 })
			if err := s.journal.Sync(); err != nil {
				t.Fatal(err)
			}
			copyDir(t, filepath.Join(s.dir, "journal"), filepath.Join(disk.dir, "journal"))
			add(w, 500, 50) // in no file that was synced
			eventually(t, "the last rows", func() bool { return w.Stats().Shipped == 550 })
			if database == "newer" {
				s.copyDatabase(disk)
			}
			s.end(w)
			w = disk.start()
			add(w, 1000, 10)
			eventually(t, "the new row", func() bool { rows, _ := disk.tryStored(); return rows["Q1009"] == 1 })
			eventually(t, "the note", func() bool { _, lost := disk.tryStored(); return lost[store.LossCrash] < 0 })
			disk.end(w)
			rows, _ := disk.stored()
			for i := range 500 {
				if n := rows[row(i).QID]; n != 1 {
					t.Fatalf("row %d is there %d times", i, n)
				}
			}
			want := 510
			if database == "newer" {
				want = 560
			}
			if len(rows) != want {
				t.Errorf("%d rows, want %d", len(rows), want)
			}
		})
	}
}

// copyDatabase gives another site a copy of the database, as it is now.
func (s *site) copyDatabase(to *site) {
	s.t.Helper()
	db := s.open()
	defer db.Close()
	if err := db.Backup(context.Background(), to.path()); err != nil {
		s.t.Fatal(err)
	}
}

// TestClockBehind: a journal that was removed while the clock is behind begins below the
// position that the database has. Its rows are stored, not kept forever.
func TestClockBehind(t *testing.T) {
	s := newSite(t)
	s.j.Now = func() time.Time { return storetest.Now }
	w := s.start()
	add(w, 0, 10)
	s.end(w)
	segments, err := filepath.Glob(filepath.Join(s.dir, "journal", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	for _, path := range segments {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	s.j.Now = func() time.Time { return time.Unix(1, 0) }
	w = s.start()
	add(w, 10, 10)
	s.end(w)
	s.wantAll(20)
	if !strings.Contains(s.log.String(), "the clock was wrong") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

// skewed is a database with its own clock.
type skewed struct {
	store.Store
	clock time.Time
}

func (s skewed) Info(ctx context.Context) (store.Info, error) {
	i, err := s.Store.Info(ctx)
	i.Clock = store.Millis(s.clock)
	return i, err
}

// TestClockSkew: a clock that differs by more than five minutes from that of the database is
// told once; rows keep the time of their host.
func TestClockSkew(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		told bool
	}{{-6 * time.Minute, true}, {4 * time.Minute, false}} {
		s := newSite(t)
		s.wrap = func(db store.Store) store.Store { return skewed{db, storetest.Now.Add(-c.off)} }
		w := s.start()
		add(w, 0, 10)
		eventually(t, "the rows", func() bool { return w.Stats().Shipped == 10 })
		if got := w.Stats().Skew; got != c.off {
			t.Errorf("skew %v, want %v", got, c.off)
		}
		s.end(w)
		s.wantAll(10)
		if got := strings.Contains(s.log.String(), "the clock differs"); got != c.told {
			t.Errorf("%v is told: %v, want %v\n%s", c.off, got, c.told, s.log)
		}
	}
}

// TestClockWasAhead: days are closed by the time up to which a node is stored. A clock that jumped ahead
// and came back does not leave it in the future.
func TestClockWasAhead(t *testing.T) {
	s := newSite(t)
	for i, at := range []time.Time{storetest.Now, storetest.Now.AddDate(10, 0, 0), storetest.Now.Add(time.Minute)} {
		s.now = func() time.Time { return at }
		w := s.start()
		add(w, 10*i, 10)
		s.end(w)
		db := s.open()
		nodes, err := db.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || store.Time(nodes[0].Shipped).Sub(at).Abs() > time.Minute {
			t.Errorf("at %v the node is stored up to %v, %v", at, store.Time(nodes[0].Shipped), err)
		}
		db.Close()
	}
	s.wantAll(30)
}
