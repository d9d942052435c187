package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestReload: hundreds of reloads under load, of valid configurations, broken ones and
// incomplete files. No session is aborted; the last valid one stays in force; nothing is left
// over.
func TestReload(t *testing.T) {
	d := start(t, "")
	tasks, files := d.tasks(), d.files()
	l := begin(d, 2, 2000)
	l.each(3)
	read := func() int { return d.logged(`"reloaded"`) + d.logged("reload failed") }
	reloads := often(60, 400)
	for i := range reloads {
		before := read()
		switch i % 4 {
		case 0:
			d.configure("cache = '1MiB'\n") // not of [log]
		case 1:
			d.write("authserv_id = 'mx.te")
		case 2:
			d.cache = fmt.Sprintf("%dKiB", 1024+i) // another way to the DNS
			fallthrough
		default:
			d.configure(fmt.Sprintf("[limits]\nqueries = %d\n[trial]\nenforce = 'observe'\n", 20+i))
		}
		d.signal(syscall.SIGHUP)
		if i%3 > 0 { // the others come while one is read
			until(t, "a reload", func() bool { return read() > before })
		}
	}
	d.configure("[limits]\nqueries = 77\n")
	before := d.logged(`"reloaded"`)
	d.signal(syscall.SIGHUP)
	until(t, "the last good configuration", func() bool {
		return d.logged(`"reloaded"`) > before && d.metric("postseal_config_reload_success", "") == 1
	})
	d.write("enforce = 'nothing'")
	d.signal(syscall.SIGHUP)
	until(t, "a refused configuration", func() bool { return d.metric("postseal_config_reload_success", "") == 0 })
	l.each(3)
	l.end()
	d.alive()
	if n := l.broken.Load(); n > 0 {
		t.Errorf("%d sessions were broken off", n)
	}
	// The ways to the DNS of the last four configurations stay, with some sockets each.
	const more = 4 * 16
	openFiles, running := d.files(), d.tasks()
	for end := time.Now().Add(10 * time.Second); (openFiles > files+more || running > tasks+more) && time.Now().Before(end); openFiles, running = d.files(), d.tasks() {
		time.Sleep(10 * time.Millisecond)
	}
	if openFiles > files+more || running > tasks+more {
		t.Errorf("%d descriptors and %d goroutines before, %d and %d after", files, tasks, openFiles, running)
	}
	taken, refused := d.logged(`"reloaded"`), d.logged("reload failed")
	t.Logf("%d signals: %d times put in force, %d lines of what was refused; taken over milter %d, policy %d, smtp %d, http %d, none broken off; goroutines %d before, %d after, descriptors %d and %d",
		reloads, taken, refused, l.done["milter"].Load(), l.done["policy"].Load(), l.done["smtp"].Load(), l.done["http"].Load(), tasks, d.tasks(), files, d.files())
	d.stop()
}
