package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"postseal/internal/app/conf"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/stub"
	"postseal/server/listener"
)

// names answers DNS queries under one [dns] table.
type names struct {
	config  conf.DNS
	servers []string            // the servers it queries, for the log
	direct  resolver.Resolver   // without a cache
	breaker *middleware.Breaker // in front of the servers
	cache   *resolver.Cache
	close   func()
}

// tries is how often a silent name server is queried within [dns] timeout.
const tries = 2

// guard builds the layers above the DNS client: the cache, shared queries, the circuit breaker
// for when no server answers, the limit on queries in flight, and the metrics.
func (n *names) guard(memory *listener.Memory, m *listener.Metrics, log *slog.Logger) {
	c := n.config
	n.direct = &metered{next: n.direct, metrics: m, told: rate.Sometimes{First: 1, Interval: time.Minute}, failed: func(err error) {
		log.Warn("a query to the name servers got no answer", "resolver", strings.Join(n.servers, ","), "error", listener.Text(err))
	}}
	bounded := middleware.NewLimit(n.direct, c.Outstanding)
	n.breaker = middleware.NewBreaker(bounded, middleware.BreakerOptions{Probe: n.direct, Changed: func(open bool) {
		if open {
			log.Error("no name server answers: queries fail immediately until one does", "resolver", strings.Join(n.servers, ","))
		} else {
			log.Info("name servers answer again", "resolver", strings.Join(n.servers, ","))
		}
	}})
	octets := int64(c.Cache)
	if most := memory.Limit() / cacheShare; most > 0 && octets > most {
		octets = most
	}
	n.cache = resolver.NewCache(middleware.Coalesce(n.breaker), resolver.CacheOptions{MaxBytes: int(octets), Stale: time.Duration(c.Stale)})
}

// given answers with r instead of name servers.
func given(r resolver.Resolver) func(conf.DNS) (*names, error) {
	return func(c conf.DNS) (*names, error) {
		return &names{config: c, servers: []string{"zone files"}, direct: r, close: func() {}}, nil
	}
}

// ask queries the name servers of c, or those of the system.
func ask(c conf.DNS) (_ *names, err error) {
	servers := conf.Strings(c.Servers)
	if len(servers) == 0 {
		if servers, err = stub.SystemServers(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoServers, err)
		}
	}
	trusted := make([]string, 0, len(c.Validating))
	for _, p := range c.Validating {
		trusted = append(trusted, p.String())
	}
	client, err := stub.New(stub.Config{Servers: servers, Timeout: time.Duration(c.Timeout) / tries, Attempts: tries, Trusted: trusted})
	if err != nil {
		return nil, err
	}
	return &names{config: c, servers: servers, direct: client, close: func() { client.Close() }}, nil
}

// same reports whether c queries the same servers in the same way, so the cache can be kept.
func (n *names) same(c conf.DNS) bool {
	a, b := n.config, c
	return slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Validating, b.Validating) && a.Timeout == b.Timeout && a.Cache == b.Cache && a.Stale == b.Stale && a.Outstanding == b.Outstanding
}

// answers reports whether a name server answers at all; "no such name" is an answer too.
func (n *names) answers(ctx context.Context) error {
	_, err := n.direct.Lookup(ctx, "arpa", resolver.NS)
	return err
}

// metered counts the queries to name servers.
type metered struct {
	next    resolver.Resolver
	metrics *listener.Metrics
	failed  func(error) // logs the first query without an answer, and then one per minute
	told    rate.Sometimes
}

// Lookup implements resolver.Resolver.
func (m *metered) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	began := time.Now()
	a, err := m.next.Lookup(ctx, name, t)
	rcode := "noerror"
	switch {
	case err != nil:
		rcode = string(resolver.KindOf(err))
		if kind := resolver.KindOf(err); (kind == resolver.Timeout || kind == resolver.Network) && ctx.Err() == nil && m.failed != nil {
			m.told.Do(func() { m.failed(err) })
		}
	case a.NXDomain:
		rcode = "nxdomain"
	}
	m.metrics.DNSQueries.WithLabelValues(strings.ToLower(t.String()), rcode).Inc()
	m.metrics.DNSDuration.Observe(time.Since(began).Seconds())
	return a, err
}

// registerCache exports the counters of the current cache, and whether the DNS servers answer.
func registerCache(r *prometheus.Registry, current *atomic.Pointer[names]) {
	counter := func(name, help string, value func(resolver.CacheStats) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "postseal", Name: name, Help: help},
			func() float64 { return float64(value(current.Load().cache.Stats())) }))
	}
	counter("dns_cache_hits_total", "Answers from the cache, since it was created.", func(s resolver.CacheStats) uint64 { return s.Hits })
	counter("dns_cache_misses_total", "Queries that the cache could not answer, since it was created.", func(s resolver.CacheStats) uint64 { return s.Misses })
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postseal", Name: "dns_cache_entries", Help: "Answers in the cache."},
		func() float64 { return float64(current.Load().cache.Stats().Entries) }))
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postseal", Name: "dns_down", Help: "1 while no name server answers and queries fail immediately."},
		func() float64 {
			if current.Load().breaker.Open() {
				return 1
			}
			return 0
		}))
}
