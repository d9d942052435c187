package server

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/store/evidence"
)

// bundles keeps the evidence of verdicts, as [bundles] says.
type bundles struct {
	*background
	engine  func() *listener.Engine
	log     *slog.Logger
	results *prometheus.CounterVec
	current atomic.Pointer[bundleStore]
	warned  rate.Sometimes // whether writing fails
	spent   *rate.Limiter  // microseconds of finding out why signatures broke
}

// bundleStore is the current directory; nil keeps nothing.
type bundleStore struct {
	config conf.Bundles
	folder *evidence.Folder
}

func newBundles(r prometheus.Registerer, log *slog.Logger, engine func() *listener.Engine) *bundles {
	const pause = time.Minute // a full disk would fill the log too
	b := &bundles{engine: engine, log: log, warned: rate.Sometimes{Interval: pause}, spent: rate.NewLimiter(diagnoseShare, diagnoseBurst), results: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "bundles_total",
		Help: "Bundles of verdicts: written, failed (the log says why), dropped because writing is too slow."}, []string{"result"})}
	r.MustRegister(b.results)
	for _, result := range []string{"written", "failed"} {
		b.results.WithLabelValues(result)
	}
	b.background = newBackground(b.results.WithLabelValues("dropped"), b.write)
	return b
}

// open opens the directory of c, or returns the current one if it is the same.
func (b *bundles) open(c conf.Bundles) (*bundleStore, error) {
	if old := b.current.Load(); old != nil && old.config == c {
		return old, nil
	}
	if c.Dir == "" {
		return nil, nil
	}
	if old := b.current.Load(); old != nil && old.config.Dir == c.Dir {
		return &bundleStore{c, old.folder}, nil // one owner per directory
	}
	folder, err := evidence.Open(c.Dir, evidence.Options{})
	switch {
	case err != nil && conf.IsDefaultBundles(c.Dir):
		b.log.Warn("no evidence of verdicts is stored, so explain cannot use it: the state directory cannot be used", "dir", c.Dir, "error", listener.Text(err))
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("[bundles] dir: %w", err)
	}
	return &bundleStore{c, folder}, nil
}

// use puts s in force. Old bundles are only removed now, so a rejected configuration changes
// nothing.
func (b *bundles) use(s *bundleStore) {
	old := b.current.Swap(s)
	if s != nil && s != old {
		s.folder.Bound(evidence.Options{MaxBytes: int64(s.config.MaxSize), MaxAge: time.Duration(s.config.MaxAge)})
	}
}

// record receives every verdict.
func (b *bundles) record(v listener.Verdict) {
	s := b.current.Load()
	d := &v.Report.Decision
	if s == nil || s.config.Keep != "all" && d.Action == postseal.Accept && d.Applied == postseal.Accept {
		v.Body.Release()
		return
	}
	if !b.take(v) {
		v.Body.Release()
	}
}

func (b *bundles) write(v listener.Verdict) {
	defer b.engine().Recover("bundles", nil)
	defer v.Body.Release()
	s := b.current.Load()
	if s == nil {
		return
	}
	kept := bundle.Of(v.Report, v.Snapshot.Verifier, bundle.Options{Private: s.config.Private})
	b.diagnose(kept, v, s.config.Private)
	err := s.folder.Put(v.Report.Ref, v.QueueID, kept.Format())
	if err == nil {
		b.results.WithLabelValues("written").Inc()
		return
	}
	b.results.WithLabelValues("failed").Inc()
	b.warned.Do(func() {
		b.engine().Log.Error("the bundle of a verdict could not be stored", "ref", v.Report.Ref, "dir", s.config.Dir, "error", listener.Text(err))
	})
}
