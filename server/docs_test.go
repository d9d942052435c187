package server

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/conf"
	"postseal/internal/app/rules"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

var update = flag.Bool("update", false, "rewrite docs/reference/metrics.md")

const metricsPage = "../docs/reference/metrics.md"

const metricsPreface = `# Metrics

` + "`GET /metrics`" + ` on the http listener, in the Prometheus text format. It includes the metrics of the Go
runtime and the process. No label contains text from outside, so a sender cannot create new series.
The labels for local policy come from your configuration. Generated from the code.

| metric | type | labels | |
|---|---|---|---|
`

const metricsNotes = `
## Alerts
| alert | expression |
|---|---|
| a bug in postseal | ` + "`increase(postseal_panics_total[1h]) > 0`" + ` |
| DNS lookups fail | ` + "`sum(rate(postseal_dns_queries_total{rcode!~\"noerror\\|nxdomain\"}[5m])) / sum(rate(postseal_dns_queries_total[5m])) > 0.1`" + ` |
| no name server answers | ` + "`postseal_dns_down == 1`" + ` |
| mail is deferred | ` + "`sum(rate(postseal_messages_total{applied=\"defer\"}[15m])) > 0`" + ` |
| the MTA and the milter disagree about the protocol | ` + "`increase(postseal_milter_errors_total[1h]) > 0`" + ` |
| a new configuration has errors | ` + "`postseal_config_reload_success == 0`" + ` |
| the evidence of verdicts is not stored | ` + "`increase(postseal_bundles_total{result!=\"written\"}[1h]) > 0`" + ` |
| verdicts are missing from the history | ` + "`increase(postseal_store_lost_total[1h]) > 0`" + ` |
| the history is not up to date | ` + "`postseal_store_lag_seconds > 600`" + ` |
| no mail arrives | ` + "`sum(rate(postseal_messages_total[30m])) == 0`" + ` |
`

// TestMetricsPage checks that the page of metrics matches the code. It touches every metric
// once, then lists the registry.
func TestMetricsPage(t *testing.T) {
	m := listener.NewMetrics("test")
	zones, err := dnstest.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	n, err := given(zones)(conf.Default().DNS)
	if err != nil {
		t.Fatal(err)
	}
	n.guard(nil, m, slog.New(slog.DiscardHandler))
	var current atomic.Pointer[names]
	current.Store(n)
	registerCache(m.Registry, &current)
	c := conf.Default()
	c.AuthservID, c.Rule = "mx.test", []rules.Rule{{When: "true", Action: "accept"}}
	engine, _ := c.Engine()
	engine.Resolver = zones
	s, err := listener.NewSnapshot(c, engine)
	if err != nil {
		t.Fatal(err)
	}
	e := listener.NewEngine(s, nil, m)
	defer e.Close()
	m.Registry.MustRegister(localPolicy{e})
	kept, tried := newBundles(m.Registry, slog.New(slog.DiscardHandler), func() *listener.Engine { return e }), newTrial(m.Registry, func() *listener.Engine { return e })
	defer kept.close()
	defer tried.close()
	dir := t.TempDir()
	stored := conf.Default().Store
	stored.URL, stored.JournalDir = conf.StoreIn(dir), conf.JournalIn(dir)
	d := &Daemon{metrics: m, log: slog.New(slog.DiscardHandler)}
	keeps, err := newKeeper(d, stored)
	if err != nil {
		t.Fatal(err)
	}
	defer keeps.close()
	d.history = keeps
	reports, err := newReporting(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newFailureReports(d, reports, c); err != nil {
		t.Fatal(err)
	}
	reports.result.WithLabelValues("ok")
	reports.inward.WithLabelValues("report")
	eventually(t, "the store", func() bool { return keeps.writer.Stats().Up && keeps.reader() != nil })
	tried.outcome.WithLabelValues("accept", "accept")
	touch(reflect.ValueOf(m).Elem())
	for _, d := range m.Listeners {
		touch(reflect.ValueOf(d))
	}
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(metricsPreface)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "postseal_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, " "), f.GetHelp())
	}
	b.WriteString(metricsNotes)
	if *update {
		if err := os.WriteFile(metricsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(metricsPage); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the code says: go test ./server -run TestMetricsPage -update (%v)", metricsPage, err)
	}
}

// touch makes one series of every vector in v.
func touch(v reflect.Value) {
	for i := range v.NumField() {
		if !v.Field(i).CanInterface() {
			continue
		}
		for labels := 1; labels < 5; labels++ {
			values := slices.Repeat([]string{"x"}, labels)
			switch vec := v.Field(i).Interface().(type) {
			case *prometheus.CounterVec:
				vec.GetMetricWithLabelValues(values...)
			case *prometheus.HistogramVec:
				vec.GetMetricWithLabelValues(values...)
			}
		}
	}
}
