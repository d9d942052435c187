// Package server is the daemon: it connects the listeners to one engine, applies a new
// configuration while messages are in flight, and stops gracefully.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/conf"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/server/proxy"
	"postseal/server/web/refusal"
)

// Options configures a Daemon.
type Options struct {
	// Load reads the configuration, at startup and at each reload, with what a fleet shares of
	// it, nil for nothing.
	Load func(*conf.Shared) (*conf.Config, []conf.Problem, error)
	// Resolver answers instead of name servers, if it is not nil.
	Resolver resolver.Resolver
	Now      func() time.Time // the clock of verdicts; nil is time.Now
	Log      io.Writer
	Version  string
	State    string // the directory where it records its listeners; "" records nothing
	File     string // the configuration file that Load reads, for the console; "" without one
	// Stop cancels the waiting of New for a host that is still starting; nil never does.
	Stop <-chan struct{}

	// Of tests:
	dial  func(conf.DNS) (*names, error)
	pause time.Duration // as in writer.Options
}

// Daemon is a running configuration with its listeners open.
type Daemon struct {
	inspected
	options  Options
	log      *slog.Logger
	metrics  *listener.Metrics
	memory   *listener.Memory
	engine   *listener.Engine
	bundles  *bundles
	trial    *trial
	history  *keeper
	fleet    *member // nil for a daemon of its own
	whatIfs  *whatIfs
	alarms   *alarms
	notices  *attention
	audits   *audits
	own      ownDomains
	refusals atomic.Pointer[refusal.Key] // nil without a page for rejected senders
	dial     func(conf.DNS) (*names, error)
	names    atomic.Pointer[names]
	config   *conf.Config // current; used only by the goroutine that runs the daemon
	shared   *conf.Shared // what config has from the fleet; likewise
	tasks    chan func()  // for that goroutine
	services []running
	retired  []func()     // close functions for the resolvers of earlier configurations, which messages may still use
	proxy    *proxy.Proxy // shared by all SMTP listeners, nil without one
}

// running is one listener with its service.
type running struct {
	name     string
	service  listener.Service
	listener net.Listener
}

// New reads the configuration and opens the listeners.
func New(o Options) (*Daemon, error) {
	c, warnings, shared, err := loadFirst(o)
	if err != nil {
		return nil, err
	}
	level := newLogLevel(c.Log.Level)
	d := &Daemon{options: o, config: c, shared: shared, tasks: make(chan func()), metrics: listener.NewMetrics(o.Version), log: newLogger(o.Log, c.Log, level)}
	d.init(level)
	d.audits = newAudits(d)
	d.whatIfs = newWhatIfs(d)
	d.notices = newAttention(d)
	d.warn(warnings)
	d.keepMemory(c.Limits)
	d.dial = ask
	switch {
	case o.dial != nil:
		d.dial = o.dial
	case o.Resolver != nil:
		d.dial = given(o.Resolver)
	}
	d.bundles = newBundles(d.metrics.Registry, d.log, func() *listener.Engine { return d.engine })
	d.trial = newTrial(d.metrics.Registry, func() *listener.Engine { return d.engine })
	if err := d.openStore(c); err != nil {
		return nil, err
	}
	var p *parts
	err = d.waitFor(func() (err error) {
		p, err = d.build(c)
		return err
	})
	if err != nil {
		d.abandon()
		return nil, err
	}
	d.names.Store(p.names)
	d.alarms = newAlarms(d, o.Now)
	d.engine = listener.NewEngine(p.snapshot, d.log, d.metrics, d.bundles.record, d.trial.record, d.history.record, d.alarms.record)
	d.engine.Memory, d.engine.Bodies = d.memory, &listener.Bodies{}
	d.tuneMemory()
	registerCache(d.metrics.Registry, &d.names)
	d.metrics.Registry.MustRegister(localPolicy{d.engine})
	d.put(p)
	if err := d.startReports(c); err != nil {
		d.close()
		return nil, err
	}
	d.restoreWhenOpen()
	if err = d.open(c); err != nil {
		d.close()
		return nil, err
	}
	d.metrics.Reloaded(true, time.Now())
	d.fleet.start()
	return d, nil
}

// openStore opens the history, and what a fleet shares with it.
func (d *Daemon) openStore(c *conf.Config) (err error) {
	if d.history, err = newKeeper(d, c.Store); err == nil {
		d.fleet, err = newMember(d, c)
		d.history.fleet.Store(d.fleet)
	}
	if err != nil {
		d.abandon()
	}
	return err
}

// abandon closes what New opened before it failed.
func (d *Daemon) abandon() {
	d.bundles.close()
	d.trial.close()
	d.history.close()
	d.fleet.close()
}

func newLogger(w io.Writer, c conf.Log, level slog.Leveler) *slog.Logger {
	format := listener.LogFormat(c.Format)
	if c.Format == "auto" {
		format = listener.LogText
		if os.Getenv("JOURNAL_STREAM") != "" {
			format = listener.LogJournal
		}
	}
	return listener.NewLogger(w, format, level)
}

func (d *Daemon) warn(problems []conf.Problem) {
	for _, p := range problems {
		p.Warning = false
		d.log.Warn("configuration", "problem", p.String())
	}
}

// parts is everything that a configuration puts in force.
type parts struct {
	names       *names
	snapshot    *listener.Snapshot
	bundleStore *bundleStore // nil stores no bundles
	tried       *candidate   // nil means no trial
}

// build creates the parts of c without using them. It keeps the resolver if c does not change
// it.
func (d *Daemon) build(c *conf.Config) (*parts, error) {
	if c.AuthservID == "" {
		c.AuthservID = Hostname()
	}
	p := &parts{names: d.names.Load()}
	if p.names == nil || !p.names.same(c.DNS) {
		var err error
		if p.names, err = d.dial(c.DNS); err != nil {
			return nil, fmt.Errorf("[dns] %w", err)
		}
		p.names.guard(d.memory, d.metrics, d.log)
	}
	var kept, tried, snapshot error
	p.bundleStore, kept = d.bundles.open(c.Bundles)
	p.tried, tried = newCandidate(c, p.names.cache)
	p.snapshot, snapshot = d.snapshot(c, p.names.cache)
	if err := errors.Join(snapshot, kept, tried); err != nil {
		d.discard(p.names)
		return nil, err
	}
	return p, nil
}

// discard closes a resolver that is not in use.
func (d *Daemon) discard(n *names) {
	if n != d.names.Load() {
		n.close()
	}
}

// makeToken creates the token of the http listener, unless one is configured. Without a state
// directory there is no token, and the console is only open to local clients.
func (d *Daemon) makeToken(c *conf.Config) {
	path := conf.ConsoleToken()
	if c.Listen.HTTP == "" || c.Listen.HTTPTokenFile != "" || path == "" {
		return
	}
	if err := listener.MakeToken(path); err != nil {
		d.log.Warn("the console token cannot be created: the console is only open to local clients", "file", path, "error", listener.Text(err))
	}
}

func (d *Daemon) snapshot(c *conf.Config, dns resolver.Resolver) (*listener.Snapshot, error) {
	d.makeToken(c)
	engine, policy := c.Engine()
	engine.Resolver, engine.Now = dns, d.options.Now
	engine.OnPanic = func(p any) { d.engine.Panicked("verdict", p) }
	policy.Base.ReplyTag = d.replyTag
	policy.OnError = func(entry string, err error) {
		d.log.Warn("a rule could not be evaluated", "rule", entry, "error", listener.Text(err))
	}
	return listener.NewSnapshot(c, engine)
}

// Hostname returns the name of this host, with its domain if the system knows one.
func Hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if full, err := net.DefaultResolver.LookupCNAME(ctx, name); err == nil && strings.Contains(strings.TrimSuffix(full, "."), ".") {
		return strings.TrimSuffix(full, ".")
	}
	return name
}

// open opens every listener that c names or that systemd passed.
func (d *Daemon) open(c *conf.Config) error {
	passed, err := inherited()
	if err != nil {
		return err
	}
	for _, k := range d.kinds(c) {
		listeners := passed[k.name]
		delete(passed, k.name)
		if len(listeners) == 0 && k.address != "" {
			var opened net.Listener
			err := d.waitFor(func() (err error) {
				opened, err = listen(k.address, c.Listen.SocketMode)
				return err
			})
			if err != nil {
				return fmt.Errorf("[listen] %s: %w", k.name, err)
			}
			listeners = []net.Listener{opened}
		}
		for _, l := range listeners {
			served, l, err := k.make(c, l)
			if err != nil {
				return errors.Join(err, l.Close())
			}
			d.services = append(d.services, running{k.name, served, l})
		}
	}
	d.engine.ShareSPF = d.Addr(listener.Policy) != nil && d.Addr(listener.Milter) != nil
	for name := range passed {
		d.log.Warn("systemd passed a socket that no listener uses", "name", name)
	}
	if len(d.services) == 0 {
		return errors.New("[listen] names no listener, and systemd passed none: name one, such as milter = \"127.0.0.1:8895\", or omit [listen] for the default listeners")
	}
	return nil
}

// Addr returns the address of a listener by its name, for callers that let the system choose
// the port.
func (d *Daemon) Addr(name string) net.Addr {
	for _, r := range d.services {
		if r.name == name {
			return r.listener.Addr()
		}
	}
	return nil
}

// Run serves until ctx ends, then lets messages in flight finish within [limits] shutdown. A
// value from reload reloads the configuration.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	defer d.close()
	d.audits.start()
	failed := make(chan error, len(d.services))
	var work sync.WaitGroup
	for _, r := range d.services {
		work.Go(func() {
			if err := r.service.Serve(r.listener); !errors.Is(err, listener.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", r.name, err)
			}
		})
	}
	d.announce()
	defer d.record()()
	d.alarms.start()
	work.Go(func() { d.probe(ctx) })
	n := newNotifier(d.log)
	n.ready()
	defer n.stop()
	var err error
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.watchdog:
			n.alive()
		case <-reload:
			n.reloading()
			d.Reload()
			n.ready()
		case answer := <-d.reloads:
			n.reloading()
			answer <- d.Reload()
			n.ready()
		case task := <-d.tasks:
			task()
		case err = <-failed:
		}
	}
	n.stopping()
	d.drain()
	work.Wait()
	return err
}

// announce logs the listeners and the settings that decide.
func (d *Daemon) announce() {
	for _, r := range d.services {
		d.log.Info("listening", "door", r.name, "network", r.listener.Addr().Network(), "address", r.listener.Addr().String())
	}
	d.describe("deciding")
}

func (d *Daemon) describe(what string) {
	c := d.config
	d.log.Info(what, "version", d.options.Version, "authserv_id", c.AuthservID, "enforce", string(c.Enforce), "discovery", string(c.DMARC.Discovery),
		"on_error", string(c.DNS.OnError), "resolver", strings.Join(d.names.Load().servers, ","), "trusted", networks(c.Network.Trusted),
		"trusted_relays", networks(c.Network.TrustedRelays), "quarantine_with", c.DMARC.QuarantineWith, "local_rules", c.LocalRules())
}

func networks(list []conf.Prefix) string {
	all := make([]string, len(list))
	for i, p := range list {
		all[i] = p.String()
	}
	return strings.Join(all, ",")
}

// Reload reads the configuration and applies it to messages that begin after it returns. One
// with errors changes nothing.
func (d *Daemon) Reload() error {
	defer d.fleet.tryAgain()
	return d.reload(d.shared)
}

func (d *Daemon) reload(shared *conf.Shared) error {
	c, warnings, err := d.options.Load(shared)
	if err == nil {
		err = d.use(c)
	}
	d.metrics.Reloaded(err == nil, time.Now())
	d.notices.reloaded(d.history.now(), err)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			d.log.Error("reload failed: keeping the previous configuration", "problem", strings.TrimSpace(line))
		}
		return err
	}
	d.shared = shared
	d.readNow()
	d.warn(warnings)
	d.describe("reloaded")
	return nil
}

func (d *Daemon) use(c *conf.Config) error {
	p, err := d.build(c)
	if err != nil {
		return err
	}
	if d.proxy != nil { // the last step that may fail: the configuration is applied as a whole or not at all
		if err := d.useProxy(c); err != nil {
			d.discard(p.names)
			return err
		}
	}
	if c.Listen != d.config.Listen || c.Store != d.config.Store || c.Fleet != d.config.Fleet || c.Log != d.config.Log || c.Limits.Connections != d.config.Limits.Connections || c.Limits.Memory != d.config.Limits.Memory {
		d.log.Warn("changes to [listen], [store], [fleet], [log], and connections and memory in [limits] take effect after a restart")
	}
	d.warnOfReports(c)
	if old := d.names.Swap(p.names); old != p.names {
		d.restoreAfterReload(p.names)
		d.retire(old)
	}
	d.put(p)
	d.config = c
	return nil
}

// put applies p to messages that begin from now on.
func (d *Daemon) put(p *parts) {
	d.engine.Swap(p.snapshot)
	d.bundles.use(p.bundleStore)
	d.trial.use(p.tried)
	d.alarms.current.Store(p.snapshot.Config)
}

// maxRetired limits the resolvers that are kept for messages of earlier configurations. Closing
// one ends its queries with temperror.
const maxRetired = 4

func (d *Daemon) retire(n *names) {
	d.retired = append(d.retired, n.close)
	if len(d.retired) > maxRetired {
		d.retired[0]()
		d.retired = d.retired[1:]
	}
}

// drain lets every service finish its messages, all at the same time.
func (d *Daemon) drain() {
	limit := time.Duration(d.config.Limits.Shutdown)
	d.log.Info("stopping: finishing messages in flight", "within", limit.String())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var work sync.WaitGroup
	for _, r := range d.services {
		work.Go(func() {
			if err := r.service.Shutdown(ctx); err != nil {
				d.log.Warn("messages in flight were aborted", "door", r.name, "error", listener.Text(err))
				r.service.Close()
			}
		})
	}
	work.Wait()
	d.log.Info("stopped")
}

// close closes everything that is left. It may follow drain or a failed New.
func (d *Daemon) close() {
	d.whatIfs.close()
	d.audits.close()
	for _, r := range d.services {
		r.service.Close()
		r.listener.Close()
	}
	d.bundles.close()
	d.alarms.close()
	d.trial.close()
	d.history.close()
	d.fleet.close()
	d.engine.Close()
	d.memory.Close()
	for _, end := range append(d.retired, d.names.Load().close) {
		end()
	}
}
