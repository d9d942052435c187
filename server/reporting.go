package server

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/conf"
	"postseal/internal/app/inbox"
	"postseal/internal/app/outbox"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/store"
)

// reporting sends aggregate reports and reads those of others, as [report] says.
type reporting struct {
	failures atomic.Int64 // sweeps in a row that failed
	d        *Daemon
	sender   *outbox.Sender         // nil sends none
	result   *prometheus.CounterVec // of sweeps
	inward   *prometheus.CounterVec // mails read, by result
	queue    chan received
	stop     context.CancelFunc
	done     chan struct{}
}

// received is a mail that the daemon reads itself.
type received struct {
	verdict listener.Verdict
	copy    *listener.Copy
}

// receivedQueue bounds the mails that wait to be read.
const receivedQueue = 64

// newReporting reads the key of reports. A key that cannot be read prevents the start: mail
// would continue, and the missing reports would go unnoticed.
func newReporting(d *Daemon, c *conf.Config) (*reporting, error) {
	r := &reporting{d: d, result: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "report_sweeps_total", Help: "Runs of the sender of reports, by result: ok or error."}, []string{"result"})}
	r.inward = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "reports_read_total", Help: "Mails to the addresses of [report] read and to the senders of our reports, by what was in them: report, known, unproven, refused, bounce, nothing, dropped."}, []string{"result"})
	d.metrics.Registry.MustRegister(r.result, r.inward)
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

// startReports starts what sends and reads reports, as [report] says.
func (d *Daemon) startReports(c *conf.Config) error {
	r, err := newReporting(d, c)
	if err != nil {
		return err
	}
	r.read()
	d.history.reports.Store(r)
	f, err := newFailureReports(d, r, c)
	d.history.failures.Store(f)
	return err
}

// warnOfReports says that what sends reports is made when the daemon starts. The addresses of read
// are looked up for each message.
func (d *Daemon) warnOfReports(c *conf.Config) {
	now, old := c.Report, d.config.Report
	now.Read, old.Read = nil, nil
	if !reflect.DeepEqual(now, old) {
		d.log.Warn("changes to [report], except for read, take effect after a restart")
	}
}

// Lookup implements resolver.Resolver with the name servers in force.
func (r *reporting) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return r.d.names.Load().cache.Lookup(ctx, name, t)
}

// sweep does what is due. It runs once per minute, in the goroutine that keeps the history.
func (r *reporting) sweep(ctx context.Context, db store.Store) {
	if r == nil || r.sender == nil || r.d.names.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	defer r.d.engine.Recover("reports", nil)
	r.sender.DB = db
	err := r.sender.Sweep(ctx)
	switch {
	case err == nil:
		r.failures.Store(0)
		r.result.WithLabelValues("ok").Inc()
	case !errors.Is(err, context.Canceled):
		r.failures.Add(1)
		r.result.WithLabelValues("error").Inc()
		r.d.log.Error("reports could not be sent", "error", listener.Text(err))
	}
}

// read takes mail to our own addresses from the listeners until ctx ends.
func (r *reporting) read() {
	ctx, stop := context.WithCancel(context.Background())
	r.queue, r.stop, r.done = make(chan received, receivedQueue), stop, make(chan struct{})
	r.d.engine.Copies = &listener.Copies{Wanted: r.wanted, Take: r.take}
	go func() {
		defer close(r.done)
		for {
			select {
			case x := <-r.queue:
				r.readOne(ctx, x)
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (r *reporting) close() {
	if r != nil && r.stop != nil {
		r.stop()
		<-r.done
	}
}

// wanted implements listener.Copies: mail to an address of [report] read, or to the envelope
// sender of a report.
func (r *reporting) wanted(s *listener.Snapshot, recipients []string) bool {
	if r.d.history.writer == nil {
		return false
	}
	return slices.ContainsFunc(recipients, func(a string) bool { return r.reads(s, a) || r.isToken(a) })
}

func (r *reporting) reads(s *listener.Snapshot, address string) bool {
	return slices.ContainsFunc(s.Config.Report.Read, func(a conf.MailAddress) bool { return strings.EqualFold(string(a), address) })
}

func (r *reporting) isToken(address string) bool {
	if r.sender == nil {
		return false
	}
	_, ok := r.sender.Who.Token(address)
	return ok
}

// take implements listener.Copies. The mail is delivered whatever becomes of its copy.
func (r *reporting) take(v listener.Verdict, c *listener.Copy) {
	select {
	case r.queue <- received{v, c}:
	default:
		c.Release()
		r.inward.WithLabelValues("dropped").Inc()
	}
}

func (r *reporting) readOne(ctx context.Context, x received) {
	defer x.copy.Release()
	defer r.d.engine.Recover("reports", nil)
	db, mail := r.d.history.reader(), x.copy.Bytes()
	if db == nil || mail == nil {
		r.inward.WithLabelValues("dropped").Inc()
		r.d.log.Warn("a mail with reports was not read: it is too large, or the history is away", "qid", listener.Text(x.verdict.QueueID))
		return
	}
	recipients, carrier := x.copy.To, inbox.Carrier{Mail: true}
	if rep := x.verdict.Report; rep != nil {
		carrier.DMARC = string(rep.DMARC.Code)
		if len(rep.Author.Domains) > 0 {
			carrier.Domain = string(rep.Author.Domains[0])
		}
	}
	if r.sender != nil && slices.ContainsFunc(recipients, r.isToken) {
		r.bounce(ctx, db, recipients, mail, x.verdict.QueueID)
		return
	}
	r.reports(ctx, db, carrier, mail, x.verdict.QueueID)
}

// bounce reads a mail to the envelope sender of a report.
func (r *reporting) bounce(ctx context.Context, db store.Store, recipients []string, mail []byte, qid string) {
	known, err := outbox.ReadBounce(ctx, db, r.sender.Who, recipients, mail, r.d.history.now())
	result := "nothing"
	if known {
		result = "bounce"
	}
	r.inward.WithLabelValues(result).Inc()
	r.d.log.Info("mail to the sender of a report", "qid", listener.Text(qid), "result", result)
	if err != nil {
		r.d.log.Error("a bounce of a report could not be noted", "error", listener.Text(err))
	}
}

// reports reads a mail with reports of others.
func (r *reporting) reports(ctx context.Context, db store.Store, carrier inbox.Carrier, mail []byte, qid string) {
	found, err := inbox.Read(ctx, db, r.d.history.now, carrier, "mail "+qid, bytes.NewReader(mail))
	if err != nil {
		r.inward.WithLabelValues("dropped").Inc()
		r.d.log.Error("a mail with reports could not be kept", "qid", listener.Text(qid), "error", listener.Text(err))
		return
	}
	if len(found) == 0 {
		r.inward.WithLabelValues("nothing").Inc()
	}
	for _, f := range found {
		r.inward.WithLabelValues(f.Result).Inc()
		r.d.log.Info("report read", "qid", listener.Text(qid), "result", f.Result, "kind", f.Kind, "org", listener.Text(f.Org), "domain", listener.Text(f.Domain), "messages", f.Messages, "why", listener.Text(f.Why))
	}
}

// keeps reports whether the rows of a day are needed until its reports are built.
func (r *reporting) keeps() bool { return r != nil && r.sender != nil }
