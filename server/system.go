package server

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/doctor"
	"postseal/internal/app/fleet"
	"postseal/internal/app/history"
	"postseal/internal/app/postfix"
	"postseal/resolver"
	"postseal/resolver/stub"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of the page System: how long a check or a name server may take, for how long their
// results are shown again, and by how much the clock of a host may be wrong.
const (
	checkTime  = 3 * time.Second
	checkFresh = 10 * time.Second
	skewLimit  = 2 * time.Second
)

// systemRoutes are what the page System shows and does.
func (d *Daemon) systemRoutes() []web.Route {
	json := func(method, path string, access web.Access, content func(*http.Request) (any, error)) web.Route {
		return web.Route{Method: method, Path: path, Access: access, Handler: web.JSON(d.engine, content)}
	}
	return []web.Route{
		json("GET", "/v1/system", web.Reader, func(r *http.Request) (any, error) {
			return d.systemOf(r.Context(), r.URL.Query().Get("checks") == "1"), known(r, "checks")
		}),
		json("GET", "/v1/config", web.Reader, func(r *http.Request) (any, error) { return d.configuration(r.Context()) }),
		json("GET", "/v1/exempt", web.Reader, func(r *http.Request) (any, error) { return d.exemptions(r.Context()) }),
		json("GET", "/v1/lookup", web.Reader, d.lookup),
		json("POST", "/v1/reload", web.Admin, func(r *http.Request) (any, error) { return d.reloaded(r.Context()) }),
		json("PUT", "/v1/log-level", web.Admin, d.putLogLevel),
	}
}

// inspected is what the page System needs of the daemon besides its parts.
type inspected struct {
	level   *logLevel
	started time.Time
	readAt  atomic.Pointer[time.Time] // when the configuration in force was read
	reloads chan chan error           // for the goroutine that runs the daemon
	lookups chan struct{}             // one element for each that runs
	probes  probes
}

func (i *inspected) init(level *logLevel) {
	i.level, i.started, i.reloads, i.lookups = level, time.Now(), make(chan chan error), make(chan struct{}, maxLookups)
	i.readAt.Store(&i.started)
}

// probes are the results of questions that take time, kept for those who ask next.
type probes struct {
	mu      sync.Mutex
	servers []ui.NameServer
	asked   time.Time
	names   *names // that were asked
	checks  []doctor.Finding
	checked time.Time
}

// systemOf gathers the state of the daemon; checks adds those of doctor.
func (d *Daemon) systemOf(ctx context.Context, checks bool) *ui.System {
	s := d.engine.Current()
	x := &ui.System{Schema: ui.SystemSchema, Host: s.AuthservID, Version: d.options.Version, Started: d.started.UTC(), Listeners: d.listening(),
		Resolver: d.resolverState(ctx), Log: d.level.state(), Health: d.health(), Checks: []doctor.Finding{}, Hosts: []ui.FleetHost{}}
	x.Go, x.Revision, x.Modules = buildOf()
	if checks {
		x.Checks = d.checks(ctx)
	}
	hosts, err := d.hosts(ctx)
	if err != nil {
		x.HostsFail = listener.Text(err)
	}
	x.Hosts = append(x.Hosts, hosts...)
	return x
}

// listening lists the open listeners with their connections.
func (d *Daemon) listening() []ui.Listening {
	list := []ui.Listening{}
	g := d.gather()
	for _, r := range d.services {
		l := ui.Listening{Name: r.name, Address: r.listener.Addr().String(), Connections: -1}
		if m, counted := d.metrics.Listeners[r.name]; counted {
			l.Connections = int(g.sum("postseal_"+r.name+"_connections", nil))
			if last := m.LastConnection(); !last.IsZero() {
				l.Last = &last
			}
		}
		list = append(list, l)
	}
	return list
}

// resolverState tells how queries were answered since the start, and asks each name server now.
func (d *Daemon) resolverState(ctx context.Context) ui.ResolverState {
	n, g := d.names.Load(), d.gather()
	c := n.cache.Stats()
	x := ui.ResolverState{Down: n.breaker.Open(), Failures: map[string]uint64{}, Hits: c.Hits, Misses: c.Misses, Entries: c.Entries, Bytes: c.Bytes, Most: int64(n.config.Cache), Servers: d.nameServers(ctx, n)}
	for _, m := range g["postseal_dns_queries_total"].GetMetric() {
		count, rcode := uint64(m.GetCounter().GetValue()), labels(m)["rcode"]
		x.Queries += count
		if rcode != "noerror" && rcode != "nxdomain" && count > 0 {
			x.Failures[rcode] += count
		}
	}
	for _, m := range g["postseal_dns_duration_seconds"].GetMetric() {
		if h := m.GetHistogram(); h.GetSampleCount() > 0 {
			x.P50, x.P99 = bound(h, 0.5), bound(h, 0.99)
		}
	}
	return x
}

// nameServers asks each server for arpa NS, at the same time.
func (d *Daemon) nameServers(ctx context.Context, n *names) []ui.NameServer {
	d.probes.mu.Lock()
	defer d.probes.mu.Unlock()
	if d.probes.names == n && time.Since(d.probes.asked) < checkFresh {
		return d.probes.servers
	}
	list := make([]ui.NameServer, len(n.servers))
	var all sync.WaitGroup
	for i, server := range n.servers {
		list[i].Server = server
		if d.options.Resolver == nil {
			all.Go(func() { timed(ctx, &list[i]) })
		}
	}
	all.Wait()
	if ctx.Err() == nil {
		d.probes.servers, d.probes.asked, d.probes.names = list, time.Now(), n
	}
	return list
}

func timed(ctx context.Context, s *ui.NameServer) {
	client, err := stub.New(stub.Config{Servers: []string{s.Server}, Timeout: checkTime, Attempts: 1})
	if err == nil {
		defer client.Close()
		began := time.Now()
		_, err = client.Lookup(ctx, "arpa", resolver.NS)
		s.Millis = float64(time.Since(began).Microseconds()) / 1000
	}
	if err != nil {
		s.Error = string(resolver.KindOf(err))
	}
}

// checks runs those of doctor that need no rights of root. Postfix's own configuration is not read.
func (d *Daemon) checks(ctx context.Context) []doctor.Finding {
	d.probes.mu.Lock()
	defer d.probes.mu.Unlock()
	if time.Since(d.probes.checked) < checkFresh {
		return d.probes.checks
	}
	c := d.engine.Current().Config
	o := doctor.Options{Resolver: d.names.Load().cache, Enforce: c.Enforce, PostfixError: fmt.Errorf("%w, or the daemon may not read its configuration: run postseal doctor on this host", postfix.ErrNotInstalled), Timeout: checkTime}
	for _, r := range d.services {
		address := r.listener.Addr().String()
		if r.listener.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		switch r.name {
		case listener.Milter:
			o.Milter = address
		case listener.Policy:
			o.Policy = address
		case listener.HTTP:
			o.HTTP = address
		case listener.SMTP:
			o.SMTP = address
		}
	}
	if _, _, mx := c.Proxy.NextHop.Exchangers(); !mx {
		o.NextHop = string(c.Proxy.NextHop)
	}
	list := doctor.Run(ctx, o)
	for i := range list {
		list[i].Text, list[i].Hint = store.Clean(list[i].Text), store.Clean(list[i].Hint)
	}
	if ctx.Err() == nil {
		d.probes.checks, d.probes.checked = list, time.Now()
	}
	return list
}

// hosts lists the daemons that share the database, with what each has stored.
func (d *Daemon) hosts(ctx context.Context) ([]ui.FleetHost, error) {
	if d.fleet == nil {
		return nil, nil
	}
	members, err := d.fleet.db.Members(ctx)
	if fleet.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	nodes := map[string]history.Node{}
	if db := d.history.reader(); db != nil {
		ctx, cancel := context.WithTimeout(ctx, searchTime)
		defer cancel()
		all, err := history.NodesOf(ctx, db, d.history.now())
		if err != nil {
			return nil, err
		}
		for _, n := range all {
			if old, ok := nodes[n.Name]; !ok || old.ShippedUntil.Before(n.ShippedUntil) {
				n.Lost += old.Lost
				nodes[n.Name] = n
			}
		}
	}
	var list []ui.FleetHost
	for i := range members {
		list = append(list, hostOf(&members[i], nodes))
	}
	return list, nil
}

func hostOf(m *fleet.Member, nodes map[string]history.Node) ui.FleetHost {
	h := ui.FleetHost{Name: store.Clean(m.Name), Version: store.Clean(m.Version), Config: "own", Problem: store.Clean(m.Judgement), Seen: m.Seen, Away: m.Away,
		SkewMS: m.Skew.Milliseconds(), LagMS: -1, Skewed: m.Skew.Abs() > skewLimit}
	if m.Config != fleet.OwnConfig {
		h.Config = fmt.Sprint(m.Config)
	}
	if n, ok := nodes[m.Name]; ok {
		h.LagMS, h.Lost, h.Lagging = int64(n.Lag*1000), n.Lost, n.Behind
	}
	return h
}

//go:embed licenses.json
var licenseText []byte

// licenses are the licenses of the modules in the program, by their paths.
var licenses = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	if err := json.Unmarshal(licenseText, &all); err != nil {
		panic(err) // a test reads it
	}
	return all
})

// buildOf says what the program is made of.
func buildOf() (version, revision string, modules []ui.Module) {
	modules = []ui.Module{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", "", modules
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules = append(modules, ui.Module{Path: m.Path, Version: m.Version, License: licenses()[m.Path]})
	}
	return strings.TrimPrefix(info.GoVersion, "go"), revision, modules
}
