package server

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/conf"
	"postseal/internal/app/outbox"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/store"
)

// reporting sends aggregate reports, as [report] says.
type reporting struct {
	d      *Daemon
	sender *outbox.Sender // nil sends none
	result *prometheus.CounterVec
}

// newReporting reads the key of reports. A key that cannot be read ends the start: mail goes
// on either way, and nobody would notice that reports are missing.
func newReporting(d *Daemon, c *conf.Config) (*reporting, error) {
	r := &reporting{d: d, result: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "report_sweeps_total", Help: "Runs of the sender of reports, by result: ok or error."}, []string{"result"})}
	d.metrics.Registry.MustRegister(r.result)
	if !c.Report.Sends() || d.history.writer == nil {
		return r, nil
	}
	s, err := outbox.FromConfig(c, outbox.Parts{Resolver: r, Now: d.history.now, Log: d.log, Version: d.options.Version})
	if err != nil {
		return nil, err
	}
	s.Shipped = func(day store.Day) bool {
		stats := d.history.writer.Stats()
		return !stats.Down && stats.ShippedUntil.After(store.Time(day.End()))
	}
	r.sender = s
	return r, nil
}

// Lookup implements resolver.Resolver with the name servers in force.
func (r *reporting) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return r.d.names.Load().cache.Lookup(ctx, name, t)
}

// sweep does what is due. It runs once a minute, in the goroutine that keeps the history.
func (r *reporting) sweep(ctx context.Context, db store.Store) {
	if r == nil || r.sender == nil || r.d.names.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			r.d.log.Error("a bug of postseal, please report it", "where", "reports", "panic", listener.Text(p))
		}
	}()
	r.sender.DB = db
	err := r.sender.Sweep(ctx)
	switch {
	case err == nil:
		r.result.WithLabelValues("ok").Inc()
	case !errors.Is(err, context.Canceled):
		r.result.WithLabelValues("error").Inc()
		r.d.log.Error("reports could not be sent", "error", listener.Text(err))
	}
}

// keeps reports whether the rows of a day are needed until its reports are built.
func (r *reporting) keeps() bool { return r != nil && r.sender != nil }
