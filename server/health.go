package server

import (
	"fmt"
	"math"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"postseal/internal/app/clients"
	"postseal/server/listener"
	"postseal/server/web/ui"
)

// health returns the figures of the daemon since it started, from its metrics.
func (d *Daemon) health() []ui.Measure {
	g := d.gather()
	list := []ui.Measure{}
	add := func(name, value string) {
		if value != "" {
			list = append(list, ui.Measure{Name: name, Value: value})
		}
	}
	add("Time to answer", g.times("postseal_verify_duration_seconds", "answer"))
	hits, misses := g.sum("postseal_dns_cache_hits_total", nil), g.sum("postseal_dns_cache_misses_total", nil)
	add("DNS from the cache", percent(hits, hits+misses))
	answered := func(l map[string]string) bool { return l["rcode"] == "noerror" || l["rcode"] == "nxdomain" }
	queries := g.sum("postseal_dns_queries_total", nil)
	add("DNS failures", percent(queries-g.sum("postseal_dns_queries_total", answered), queries))
	for _, r := range d.services {
		if _, ok := d.metrics.Listeners[r.name]; ok {
			add(listenerWords[r.name]+" connections", fmt.Sprintf("%.0f of %d", g.sum("postseal_"+r.name+"_connections", nil), d.engine.Current().Config.Limits.Connections))
		}
	}
	add("Passed unchecked", fmt.Sprintf("%.0f", g.sum("postseal_skipped_total", func(l map[string]string) bool { return l["reason"] == string(clients.Unknown) })))
	if s := d.bundles.current.Load(); s != nil {
		files, bytes := s.folder.Stats()
		add("Evidence kept", fmt.Sprintf("%d verdicts, %.1f of %.0f MiB", files, float64(bytes)/(1<<20), float64(s.config.MaxSize)/(1<<20)))
	}
	return list
}

var listenerWords = map[string]string{listener.Milter: "Milter", listener.Policy: "Policy service", listener.SMTP: "SMTP"}

// gathered are metric families by name.
type gathered map[string]*dto.MetricFamily

// gather returns the metrics of now.
func (d *Daemon) gather() gathered {
	g := gathered{}
	families, _ := d.metrics.Registry.Gather() //nolint:errcheck // what could be gathered is there
	for _, f := range families {
		g[f.GetName()] = f
	}
	return g
}

// sum adds the values of a family whose labels match.
func (g gathered) sum(name string, match func(map[string]string) bool) (sum float64) {
	f := g[name]
	for _, m := range f.GetMetric() {
		if match == nil || match(labels(m)) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func labels(m *dto.Metric) map[string]string {
	l := map[string]string{}
	for _, p := range m.GetLabel() {
		l[p.GetName()] = p.GetValue()
	}
	return l
}

// times returns the median and the 99th percentile of a stage, "" without any measurement. Each is
// the upper bound of its bucket.
func (g gathered) times(name, stage string) string {
	for _, m := range g[name].GetMetric() {
		h := m.GetHistogram()
		if labels(m)["stage"] != stage || h.GetSampleCount() == 0 {
			continue
		}
		return fmt.Sprintf("p50 %s, p99 %s ms", quantile(h, 0.5), quantile(h, 0.99))
	}
	return ""
}

func quantile(h *dto.Histogram, share float64) string {
	if most := bound(h, share); most > 0 {
		return "≤" + strconv.FormatFloat(most, 'g', 4, 64)
	}
	const largest = 30_000 // of the buckets
	return fmt.Sprintf(">%d", largest)
}

// bound returns the upper bound in milliseconds of the bucket that holds a share of a histogram, 0 if
// it is beyond the last.
func bound(h *dto.Histogram, share float64) float64 {
	need := uint64(math.Ceil(share * float64(h.GetSampleCount())))
	for _, b := range h.GetBucket() {
		if b.GetCumulativeCount() >= need && !math.IsInf(b.GetUpperBound(), 1) {
			return b.GetUpperBound() * 1000
		}
	}
	return 0
}

func percent(n, of float64) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", n/of*100)
}
