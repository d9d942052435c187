package faults

import (
	"path/filepath"
	"testing"
	"time"

	"postseal/lab/bench/traffic"
)

// whole checks that every bundle of a folder can be read, and returns how many there are. What
// is being written just now does not count: see finished.
func whole(t *testing.T, dir string) (bundles int) {
	t.Helper()
	kept, err := traffic.CountBundles(dir)
	if err != nil {
		t.Error(err)
	}
	return kept.Whole
}

// finished checks that at most as many files are half written as the daemon was killed: the one
// that it was writing. A start removes them once they are an hour old, since a younger one may
// belong to a process that still runs.
func finished(t *testing.T, dir string, kills int) {
	t.Helper()
	if kept, err := traffic.CountBundles(dir); err != nil || kept.Unfinished > kills {
		t.Errorf("%d left unfinished in the folder of bundles after %d kills, %v", kept.Unfinished, kills, err)
	}
}

// TestKill is kill -9 under load and a start after it, again and again.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundles")
	d := start(t, "[bundles]\ndir = '"+dir+"'\nkeep = 'all'\n")
	l := begin(d, 2, 2000)
	var slowest time.Duration
	kills := often(2, 10)
	for range kills {
		l.each(5)
		d.kill()
		slowest = max(slowest, d.run())
	}
	l.each(5)
	l.end()
	d.stop()
	finished(t, dir, kills)
	n := whole(t, dir)
	if n == 0 {
		t.Error("no bundle was kept")
	}
	t.Logf("%d kills: taken over milter %d, policy %d, smtp %d, http %d; %d connections broken; every one of %d messages with 250 is at the next hop; %d bundles, all whole; slowest start %v",
		kills, l.done["milter"].Load(), l.done["policy"].Load(), l.done["smtp"].Load(), l.done["http"].Load(), l.broken.Load(), len(l.taken), n, slowest.Round(time.Millisecond))
}
