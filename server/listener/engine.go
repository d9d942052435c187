// Package listener contains what the listeners of the daemon share: the current configuration,
// SPF checks, serving with limits and a graceful stop, and the log line and metrics of each
// verdict.
package listener

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Service is one listener of the daemon. *http.Server implements it too. Serve returns after
// Shutdown or Close, with an error that says so.
type Service interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error // waits for messages in flight
	Close() error                   // does not
}

// Snapshot is one configuration. It is immutable: a message uses the configuration that was
// current when it began.
type Snapshot struct {
	Token        Token  // of the http listener
	Users        []User // who may log in, of [web] users
	Configured   bool   // Token is that of [listen] http_token_file: local clients need it too
	Config       *conf.Config
	Verifier     *postseal.Verifier
	Resolver     resolver.Resolver
	AuthservID   string   // from Config, or else the host name
	IDs          []string // AuthservID and those of relays whose results are believed: no client may use them
	LocalParts   bool     // the log may name the local part of the sender
	HeaderLimits message.Limits
	Clients      *clients.Rules // decides whose mail is checked
}

// NewSnapshot builds what listeners need from a configuration. Config.AuthservID must be set.
func NewSnapshot(c *conf.Config, engine postseal.Config) (*Snapshot, error) {
	v, err := postseal.New(engine)
	if err != nil {
		return nil, err
	}
	token, err := ConfiguredToken(c)
	if err != nil {
		return nil, err
	}
	users, err := ReadUsers(c.Web.Users)
	if err != nil {
		return nil, err
	}
	ids := append([]string{c.AuthservID}, engine.RelayResults...)
	return &Snapshot{Config: c, IDs: ids, Verifier: v, Token: newToken(token), Users: users, Configured: c.Listen.HTTPTokenFile != "", Resolver: engine.Resolver,
		AuthservID: c.AuthservID, LocalParts: !c.Log.Privacy, HeaderLimits: engine.Limits.Header, Clients: c.Clients()}, nil
}

// Engine is shared by all listeners. It is safe for concurrent use.
type Engine struct {
	Log     *slog.Logger
	Metrics *Metrics
	SPF     *SPFCache
	// ShareSPF is set if several listeners may see the same message.
	ShareSPF bool
	Memory   *Memory // nil has no limit
	Copies   *Copies // nil copies nothing
	Bodies   *Bodies // nil keeps none

	current   atomic.Pointer[Snapshot]
	recorders []func(Verdict)
	warned    rate.Sometimes // that memory is short
	flights   flights
	answering answering
}

// NewEngine starts with the configuration s. Each recorder receives every verdict after it is
// logged; it must not block.
func NewEngine(s *Snapshot, log *slog.Logger, m *Metrics, recorders ...func(Verdict)) *Engine {
	e := &Engine{Log: log, Metrics: m, SPF: NewSPFCache(), recorders: recorders, warned: rate.Sometimes{Interval: sameLog}}
	e.current.Store(s)
	return e
}

// Close ends the work that runs outside the listeners.
func (e *Engine) Close() { e.SPF.Close() }

// Current returns the current configuration.
func (e *Engine) Current() *Snapshot { return e.current.Load() }

// Begin begins the verification of a message. The caller must Finish or Abort it.
func (e *Engine) Begin(ctx context.Context, s *Snapshot, conn postseal.Conn, helo, reversePath string) *Message {
	ctx, f := newFlight(ctx, conn)
	session := s.Verifier.Session(ctx, conn)
	session.Helo(helo)
	m := &Message{engine: e, flight: f}
	if !e.ShareSPF || !conn.Remote.Addr().IsValid() {
		m.Transaction = session.Mail(reversePath)
	} else {
		f.check = e.SPF.Check(s.Verifier, conn, helo, reversePath)
		m.Transaction = session.MailWithSPF(reversePath, f.check)
	}
	f.size = m.Transaction.Held
	e.flights.begin(f)
	return m
}

// Check is a shared SPF check of an envelope without its message. It must be closed.
type Check struct {
	engine *Engine
	ctx    context.Context // of the caller; ends when the check is shed, too
	flight *flight
}

// StartSPF begins a check, or joins one that runs or ran.
func (e *Engine) StartSPF(ctx context.Context, s *Snapshot, conn postseal.Conn, helo, sender string) *Check {
	c := &Check{engine: e}
	c.ctx, c.flight = newFlight(ctx, conn)
	c.flight.check = e.SPF.Check(s.Verifier, conn, helo, sender)
	c.flight.size = c.flight.check.Size
	e.flights.begin(c.flight)
	return c
}

// Wait waits for the results. Its only error is ErrShed.
func (c *Check) Wait() ([]spf.Result, *postseal.IPRev, error) {
	results, iprev := c.flight.check.Wait(c.ctx)
	if c.flight.shed.Load() {
		return nil, nil, ErrShed
	}
	return results, iprev, nil
}

// Of returns the results of postseal.Config.SPFOf.
func (c *Check) Of() []spf.Result { return c.flight.check.Of() }

// Close ends the wait for the check, which others may still wait for.
func (c *Check) Close() { c.engine.flights.finish(c.flight) }

// Swap puts s in force for messages that begin from now on.
func (e *Engine) Swap(s *Snapshot) { e.current.Store(s) }

// Verdict is the outcome of one message at a listener.
type Verdict struct {
	Listener string // Milter, SMTP or HTTP
	QueueID  string // of the MTA, "" if it has none
	Report   *postseal.Report
	Snapshot *Snapshot     // the configuration that decided
	Took     time.Duration // from the end of the message to the answer
	Body     *Body         // nil unless it may explain why a signature broke
}

// Accepted reports whether the message continues to its recipients.
func (v *Verdict) Accepted() bool {
	return v.Report == nil || v.Report.Decision.Applied == postseal.Accept || v.Report.Decision.Applied == postseal.Quarantine
}

// Record writes the log line of a message and counts it.
func (e *Engine) Record(v Verdict) {
	e.logVerdict(v)
	e.Metrics.verdict(v)
	for _, record := range e.recorders {
		record(v)
	}
}

// Unchecked logs a message that is not checked, and why.
func (e *Engine) Unchecked(door, queueID string, why clients.Treatment) {
	e.Metrics.Skipped.WithLabelValues(door, string(why)).Inc()
	e.Log.Info("not checked", "qid", Text(queueID), "door", door, "reason", string(why))
}

// Recover must be deferred around code that processes untrusted input. It logs and counts a
// panic, and stops it from spreading. It reports through *failed, if not nil.
func (e *Engine) Recover(where string, failed *bool) {
	p := recover()
	if p == nil {
		return
	}
	if failed != nil {
		*failed = true
	}
	e.Panicked(where, p)
}

// Panicked logs and counts a recovered panic.
func (e *Engine) Panicked(where string, p any) {
	e.Metrics.Panics.Inc()
	e.Log.Error("a bug in postseal, please report it", "where", where, "panic", Text(p), "stack", string(debug.Stack()))
}
