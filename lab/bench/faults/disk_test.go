package faults

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tmpfs mounts a small file system, or skips the test.
func tmpfs(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root mounts a file system that is small or read-only")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k,mode=0750", "postseal-test", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: mount does not work here: %v, %s", err, bytes.TrimSpace(out))
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// TestDisk: the folder of bundles is full, then has room, then is read-only. Verdicts are as
// ever; the log says it once, a metric counts it, and nothing half written stays.
func TestDisk(t *testing.T) {
	longOnly(t)
	mounted := tmpfs(t)
	dir := filepath.Join(mounted, "bundles")
	filler := filepath.Join(mounted, "filler")
	d := start(t, "[bundles]\ndir = '"+dir+"'\nkeep = 'all'\n")
	failed := func() float64 { return d.metric("postseal_bundles_total", `result="failed"`) }
	written := func() float64 { return d.metric("postseal_bundles_total", `result="written"`) }

	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the file system is not full")
	}
	l := begin(d, 1, 2000)
	defer func() {
		t.Logf("taken over milter %d, policy %d, smtp %d, http %d", l.done["milter"].Load(), l.done["policy"].Load(), l.done["smtp"].Load(), l.done["http"].Load())
	}()
	l.each(20)
	until(t, "bundles that fail", func() bool { return failed() > 20 })
	if n := whole(t, dir); n > 0 {
		t.Errorf("%d bundles on a full disk", n)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	before := written()
	until(t, "bundles with room again", func() bool { return written() > before+10 })
	l.each(20)
	until(t, "a disk that its own bundles fill", func() bool { before := failed(); l.each(1); return failed() > before })

	until(t, "a read-only file system, between two bundles", func() bool {
		return exec.Command("mount", "-o", "remount,ro", mounted).Run() == nil // busy while a file is open to be written
	})
	before = failed()
	l.each(20)
	until(t, "bundles that fail", func() bool { return failed() > before })
	l.end()
	d.alive()
	n := whole(t, dir)
	if got := d.logged("the bundle of a verdict could not be stored"); got == 0 || got > 3 {
		t.Errorf("%d lines about %v bundles that were not kept", got, failed())
	}
	if n == 0 {
		t.Error("no bundle is left")
	}
	t.Logf("full, with room, full by its own bundles, read-only: %v bundles written, %v not, %d left, all whole; %d lines of the log", written(), failed(), n, d.logged("the bundle of a verdict could not be stored"))
	d.stop()

	// What was being written as the file system became read-only goes with the next start.
	if out, err := exec.Command("mount", "-o", "remount,rw", mounted).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v, %s", err, out)
	}
	d.run()
	d.stop()
	finished(t, dir, 0)
}
