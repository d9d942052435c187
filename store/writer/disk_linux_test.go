package writer_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/journal"
)

// TestDiskFull: the state directory is a small file system that fills up. Mail continues; what is
// lost is counted to the row; when there is room again all continues without a restart.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("skipped: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t)
	s.dir, s.j = dir, journal.Options{SegmentBytes: 256 << 10, Keep: time.Millisecond}
	w := s.start()
	add(w, 0, 500)
	eventually(t, "the first rows", func() bool { return w.Stats().Shipped == 500 })
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	n := 500
	eventually(t, "losses", func() bool {
		add(w, n, 1000)
		n += 1000
		return w.Stats().Lost[store.LossDisk] > 0
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rows", func() bool {
		st := w.Stats()
		return st.Shipped+st.Lost[store.LossDisk]+st.Lost[store.LossQueue] == int64(n)
	})
	add(w, n, 100)
	n += 100
	eventually(t, "losses in the database", func() bool { _, lost := s.tryStored(); return lost[store.LossDisk] > 0 })
	s.end(w)
	s.wantAll(n, store.LossDisk, store.LossQueue)
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
