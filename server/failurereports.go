package server

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/conf"
	"postseal/internal/app/failure"
	"postseal/internal/app/outbox"
	"postseal/server/listener"
	"postseal/store"
)

// failureReports sends reports about single messages that fail, as [report.failure] says. A listener never
// waits for it.
type failureReports struct {
	d       *Daemon
	sender  *outbox.Failures
	results *prometheus.CounterVec
	queue   chan store.Verdict
	quit    chan struct{}
	stop    context.CancelFunc // what takes too long at the end
	running sync.WaitGroup
}

// failureQueue bounds the messages that wait for a look. Each holds a header section.
const failureQueue = 64

// failureRetry is how often reports that could not be sent are looked at.
const failureRetry = time.Minute

// newFailureReports returns nil if no failure reports are sent.
func newFailureReports(d *Daemon, r *reporting, c *conf.Config) (*failureReports, error) {
	f := &failureReports{d: d, queue: make(chan store.Verdict, failureQueue), quit: make(chan struct{}), stop: func() {}, results: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "failure_reports_total",
		Help: "Failure reports that owners of listed domains ask for, by what became of them: sent; limited, by their number or as like others; refused by the destination; forbidden, since no destination agrees; expired after four hours; dropped."}, []string{"result"})}
	d.metrics.Registry.MustRegister(f.results)
	for _, result := range outbox.FailureResults {
		f.results.WithLabelValues(result)
	}
	if d.history.writer == nil {
		return f, nil
	}
	s, err := outbox.FailuresFromConfig(c, outbox.Parts{Resolver: r, Now: d.history.now, Log: d.log, Version: d.options.Version})
	if s == nil || err != nil {
		return f, err
	}
	f.sender = s
	s.Result = func(result string) { f.results.WithLabelValues(result).Inc() }
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.running.Go(func() { f.run(ctx) })
	return f, nil
}

// record receives every verdict, and never blocks.
func (f *failureReports) record(v listener.Verdict) {
	if f == nil || f.sender == nil || v.Report == nil || f.sender.Listed(store.Domain(v.Report.DMARC.PolicyDomain)) == "" {
		return
	}
	verdict := f.d.history.verdict(v)
	if _, wanted := failure.Wanted(verdict); !wanted {
		return
	}
	select {
	case f.queue <- verdict:
	default:
		f.sender.Result(outbox.FailureDropped)
	}
}

// run works until close, and then looks at what is left.
func (f *failureReports) run(ctx context.Context) {
	t := time.NewTicker(failureRetry)
	defer t.Stop()
	for {
		select {
		case v := <-f.queue:
			f.do(func() error { return f.sender.Message(ctx, v) })
			continue
		case <-t.C:
			f.do(func() error { return f.sender.Retry(ctx) })
			continue
		case <-f.quit:
		}
		select {
		case v := <-f.queue:
			f.do(func() error { return f.sender.Message(ctx, v) })
		default:
			return
		}
	}
}

// do does one piece of work with the database that is open now.
func (f *failureReports) do(work func() error) {
	defer f.d.engine.Recover("failure reports", nil)
	db := f.d.history.reader()
	if db == nil {
		f.sender.Result(outbox.FailureDropped)
		return
	}
	f.sender.DB = db
	if err := work(); err != nil {
		f.d.log.Warn("a failure report was not sent: the history does not answer", "error", listener.Text(err))
	}
}

// close waits for what is being sent, for a while. Reports that wait for another attempt do so in the
// database.
func (f *failureReports) close() {
	if f == nil {
		return
	}
	close(f.quit)
	late := time.AfterFunc(flushTime, f.stop)
	f.running.Wait()
	late.Stop()
	f.stop()
}
