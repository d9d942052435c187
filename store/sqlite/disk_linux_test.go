package sqlite_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestDiskFull: when something else fills the disk, no day goes, however small the days are: the
// rows wait, and are stored once there is room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("skipped: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	batch := func(size, day, i int) *store.Batch {
		rows := storetest.Rows(size, 1, uint64(1000*day+i))
		for k := range rows {
			rows[k].Millis = store.Millis(storetest.Now.Add(time.Duration(day)*24*time.Hour)) + int64(k)
		}
		return &store.Batch{Rows: rows}
	}
	const days = 10
	for day := range days {
		storetest.Ship(t, db, &n, batch(50, day, 0))
	}
	for i := range 5 { // the write-ahead log has its room
		storetest.Ship(t, db, &n, batch(1000, days-1, 200+i))
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	full := false
	for i := 1; i < 50 && !full; i++ {
		to := store.Position{Segment: n.At.Segment, Offset: n.At.Offset + 1}
		if _, err := db.Ship(t.Context(), n, n.At, to, batch(1000, days-1, i)); err != nil {
			full = true
		} else {
			n.At = to
		}
	}
	if list, err := db.Days(t.Context()); err != nil || len(list) != days || !full {
		t.Errorf("full %v: %d days are left of %d, %v", full, len(list), days, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	storetest.Ship(t, db, &n, batch(1000, days-1, 100))
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
