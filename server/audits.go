package server

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/bulk"
	"postseal/internal/app/conf"
	"postseal/internal/app/notify"
	"postseal/internal/app/pace"
	"postseal/internal/app/selectors"
	"postseal/internal/app/watch"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/store"
)

// The bounds of audits. Those of lists have a cache of their own and a pace, so that they never take
// the name servers or the cache from mail.
const (
	maxAudits   = 4 // that people wait for: each may ask hundreds of questions
	bulkQueries = 200
	bulkFlights = 64
	bulkZone    = 8
	bulkCache   = 16 << 20
	newsLasts   = 24 * time.Hour // that a change of a watched domain is news
)

// audits are the audits of the daemon: of one domain for a page or a client, of watched domains, and of
// lists.
type audits struct {
	d       *Daemon
	room    chan struct{} // one element for each audit that someone waits for
	watch   *watch.List   // nil without a state directory
	bulk    *bulk.Jobs    // nil without one
	why     string        // there is none
	started chan struct{} // closed by start
	end     context.CancelFunc
	running sync.WaitGroup

	pages context.Context // of the audits that pages wait for
	leave context.CancelFunc

	mu    sync.Mutex
	from  *names // that paced queries
	paced *resolver.Cache
	runs  map[string]*auditRun // by runKey
}

func newAudits(d *Daemon) *audits {
	a := &audits{d: d, room: make(chan struct{}, maxAudits), started: make(chan struct{}), end: func() {}, runs: map[string]*auditRun{}, why: "there is no state directory: set STATE_DIRECTORY, or run the daemon with systemd"}
	a.pages, a.leave = context.WithCancel(context.Background())
	return a
}

// start opens the watch list and the jobs, and continues them.
func (a *audits) start() {
	defer close(a.started)
	state := conf.StateDir()
	if state == "" {
		return
	}
	list, err := watch.Open(filepath.Join(state, "watch"), a.d.history.now, a.of)
	if err == nil {
		a.bulk, err = bulk.Open(filepath.Join(state, "bulk"), time.Now, a.ofList)
	}
	if err != nil {
		a.why = "the state directory cannot be used: " + listener.Text(err)
		a.d.log.Warn("no watch list and no audits of lists", "error", listener.Text(err))
		return
	}
	if m := a.d.fleet; m != nil {
		list.Share(m.db, func(ctx context.Context, f func()) bool { return m.turn(ctx, "watch", f) })
	}
	a.watch, a.why = list, ""
	ctx, cancel := context.WithCancel(context.Background())
	a.end = cancel
	a.running.Go(func() {
		defer a.d.engine.Recover("watch", nil)
		a.watch.Run(ctx, func(domain string, err error) {
			a.d.log.Error("the audit of a watched domain could not be kept", "domain", listener.Text(domain), "error", listener.Text(err))
		})
	})
}

func (a *audits) close() {
	a.end()
	a.leave()
	if a.bulk != nil {
		a.bulk.Close()
	}
	a.running.Wait()
}

// auditor asks a resolver, and the web for MTA-STS unless the daemon answers from zone files.
func (a *audits) auditor(dns resolver.Resolver) *audit.Auditor {
	auditor := &audit.Auditor{Resolver: dns, Now: a.d.options.Now}
	if a.d.options.Resolver == nil {
		auditor.HTTP = audit.Network{}.HTTPClient(dns)
	}
	return auditor
}

// of audits a domain with the selectors that the history knows.
func (a *audits) of(ctx context.Context, name domain.Name) *audit.Report {
	return a.auditor(a.d.names.Load().cache).Audit(ctx, name, audit.Options{Selectors: a.selectors(ctx, name)})
}

// ofList audits a domain of a list.
func (a *audits) ofList(ctx context.Context, name domain.Name) *audit.Report {
	return a.auditor(a.forLists()).Audit(ctx, name, audit.Options{Selectors: a.selectors(ctx, name)})
}

// selectors returns those of a domain that mail was signed with.
func (a *audits) selectors(ctx context.Context, name domain.Name) []audit.Selector {
	db := a.d.history.reader()
	if db == nil {
		return nil
	}
	var l selectors.List
	if err := l.ReadHistory(ctx, db, name); err != nil {
		return nil // the report says that none is known
	}
	return l.Of(name)
}

// forLists returns the resolver of lists.
func (a *audits) forLists() resolver.Resolver {
	n := a.d.names.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from != n {
		paced := pace.New(n.breaker, pace.Options{Rate: bulkQueries, Least: 1, Most: bulkFlights, PerZone: bulkZone})
		a.from, a.paced = n, resolver.NewCache(paced, resolver.CacheOptions{MaxBytes: bulkCache})
	}
	return a.paced
}

// news returns the changes of watched domains as alarms, which end a day after the change.
func (a *audits) news(now time.Time) (all []notify.Alarm) {
	select {
	case <-a.started:
	default:
		return nil
	}
	if a.watch == nil {
		return nil
	}
	for _, n := range a.watch.News(now.Add(-newsLasts)) {
		all = append(all, notify.Alarm{Name: n.Domain + " changed", Kind: "watch", Text: store.Clean(n.Text) + "."})
	}
	return all
}

// answer is GET /v1/audit/{domain}: one domain, with the DNS of the listeners.
func (a *audits) answer(r *http.Request) (any, error) { return a.one(r) }

func (a *audits) one(r *http.Request) (*audit.Report, error) {
	name, err := domainOf(r)
	if err != nil {
		return nil, err
	}
	o, err := auditOptions(r)
	if err != nil {
		return nil, err
	}
	select {
	case a.room <- struct{}{}:
		defer func() { <-a.room }()
	default:
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "other audits are running: try again later"}
	}
	if len(o.Selectors) == 0 {
		o.Selectors = a.selectors(r.Context(), name)
	}
	return a.auditor(a.d.names.Load().cache).Audit(r.Context(), name, o), nil
}

// domainOf reads the domain in the path.
func domainOf(r *http.Request) (domain.Name, error) {
	name, err := domain.Parse(r.PathValue("domain"))
	if err != nil {
		return "", &web.Refusal{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	return name, nil
}

// auditOptions reads selector, which may be repeated, and profile.
func auditOptions(r *http.Request) (o audit.Options, err error) {
	for key, values := range r.URL.Query() {
		switch key {
		case "selector":
			for _, s := range values {
				name, err := domain.Parse(s)
				if err != nil {
					return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "selector: " + err.Error()}
				}
				o.Selectors = append(o.Selectors, audit.Selector{Name: name, Source: audit.FromFlag})
			}
		case "profile":
			o.Profile = audit.Profile(values[0])
			if !slices.Contains([]audit.Profile{audit.Auto, audit.Sending, audit.Receiving, audit.Parked}, o.Profile) {
				return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "profile is not one of auto, sending, receiving, parked"}
			}
		default:
			return o, &web.Refusal{Status: http.StatusBadRequest, Detail: "unknown parameter " + key + "; known are selector, profile"}
		}
	}
	return o, nil
}
