package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal/bundle"
	"postseal/server/listener"
	"postseal/store/evidence"
)

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	pause := time.Millisecond
	for began := time.Now(); !done(); time.Sleep(pause) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
		pause = min(2*pause, 30*time.Millisecond) // what looks costs more than what waits
	}
}

// TestBundles: the evidence of what is refused is kept and holds; a reload changes what is.
func TestBundles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	d := run(t, "enforce = 'observe'\n"+listeners+"[bundles]\ndir = '"+dir+"'\n")
	s := d.mta()
	d.begin(s)
	d.finish(s)
	kept := func() []string {
		files, _ := filepath.Glob(filepath.Join(dir, "*.bundle"))
		return files
	}
	eventually(t, "a bundle", func() bool { return len(kept()) == 1 })
	data, err := os.ReadFile(kept()[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Run(t.Context())
	if err != nil || len(b.Check(r)) > 0 || len(bundle.Missing(r)) > 0 || r.Decision.Action != "reject" {
		t.Errorf("the bundle does not hold: %v, %v, %+v", err, b.Check(r), r.Decision)
	}
	if _, _, err := evidence.Find(dir, b.Ref); err != nil {
		t.Errorf("Find(%s): %v", b.Ref, err)
	}
	if _, metrics := d.get("/metrics"); !strings.Contains(metrics, `postseal_bundles_total{result="written"} 1`) {
		t.Error("the bundle is not counted")
	}
	d.write(listeners + "[bundles]\ndir = '" + d.file + "/none'\n")
	d.reread("[bundles] dir")
	d.write(listeners)
	d.reread("msg=reloaded")
	s.Abort(nil)
	d.begin(s)
	d.finish(s)
	s.Close()
	d.end()
	if n := len(kept()); n != 1 {
		t.Errorf("%d bundles are kept after [bundles] is gone, want 1", n)
	}
}

// TestBundleFails: a folder that takes no file is one line in the log, and counted each time;
// no message waits for it.
func TestBundleFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	d := run(t, "enforce = 'strict'\n"+listeners+"[bundles]\ndir = '"+dir+"'\nkeep = 'all'\n")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s := d.mta()
	for range 3 {
		d.begin(s)
		if got := d.finish(s); got != "reject" {
			t.Errorf("got %s, want reject", got)
		}
		s.Abort(nil)
	}
	eventually(t, "failures", func() bool {
		_, metrics := d.get("/metrics")
		return strings.Contains(metrics, `postseal_bundles_total{result="failed"} 3`)
	})
	if n := strings.Count(d.log.String(), "could not be stored"); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}
}

// TestAside: what finds the queue full is dropped and counted; close finishes the rest.
func TestAside(t *testing.T) {
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
	began, wait := make(chan bool), make(chan bool)
	n := 0
	a := newBackground(dropped, func(listener.Verdict) {
		if n++; n == 1 {
			began <- true
			<-wait
		}
	})
	a.take(listener.Verdict{})
	<-began
	for range backgroundQueue + 5 {
		a.take(listener.Verdict{})
	}
	close(wait)
	a.close()
	if n != backgroundQueue+1 {
		t.Errorf("%d verdicts were worked on, want %d", n, backgroundQueue+1)
	}
	if got := testutil.ToFloat64(dropped); got != 5 {
		t.Errorf("%v dropped, want 5", got)
	}
}

// TestRefusedReloadRemovesNothing: a configuration with lower bounds that is refused removes no
// bundle, nor the file that a writer is at; one that is accepted does.
func TestRefusedReloadRemovesNothing(t *testing.T) {
	dir := t.TempDir()
	config := listeners + "smtp = '127.0.0.1:0'\n[proxy]\nnext_hop = '127.0.0.1:1'\n[bundles]\ndir = '" + dir + "'\n"
	d := run(t, config)
	store := d.bundles.current.Load()
	for _, ref := range []string{"REF1", "REF2"} {
		if err := store.folder.Put(ref, "", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	unfinished := filepath.Join(dir, ".new-1")
	if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	smaller := config + "max_size = '1KiB'\n"
	d.write(strings.Replace(smaller, "[proxy]\n", "[proxy]\ncertificate = 'none'\nkey = 'none'\n", 1))
	d.reread("[proxy] certificate")
	if files, _ := store.folder.Stats(); files != 2 {
		t.Errorf("a refused reload left %d bundles of 2", files)
	}
	d.write(smaller)
	d.reread("msg=reloaded")
	if files, _ := store.folder.Stats(); files != 1 || d.bundles.current.Load().folder != store.folder {
		t.Errorf("a reload left %d bundles, want 1, in the same folder", files)
	}
	if _, err := os.Stat(unfinished); err != nil {
		t.Errorf("the file of a writer: %v", err)
	}
}
