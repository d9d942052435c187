package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/store"
)

// keeperMetrics exports the state of the history when it is scraped. No label contains
// untrusted text.
type keeperMetrics struct {
	h      *keeper
	rows   *prometheus.Desc
	lost   *prometheus.Desc
	gauges map[string]*prometheus.Desc
	batch  prometheus.Histogram
}

var lossReasons = []string{store.LossQueue, store.LossDisk, store.LossJournal, store.LossCrash, store.LossBad, store.LossCorrupt, store.LossFailover}

func registerKeeper(r *prometheus.Registry, h *keeper) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("postseal_store_"+name, help, labels, nil)
	}
	m := &keeperMetrics{h: h, rows: desc("rows_total", "Verdicts in the history since the start: shipped; late, for a day that was already closed; bad, rejected by the database.", "result"),
		lost: desc("lost_total", "Verdicts missing from the history, by reason.", "reason"),
		gauges: map[string]*prometheus.Desc{
			"journal": desc("journal_bytes", "Bytes of the journal waiting for the database."),
			"lag":     desc("lag_seconds", "Age of the newest state in the database."),
			"up":      desc("up", "1 while the database accepts verdicts."),
			"size":    desc("size_bytes", "Bytes used by the history."),
			"skew":    desc("clock_skew_seconds", "Difference between the clocks of this host and the database."),
			"info":    desc("info", "Constant 1, with the database.", "engine", "store", "schema")},
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "postseal", Name: "store_batch_seconds", Help: "Time to write one batch.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})}
	r.MustRegister(m)
}

// Describe implements prometheus.Collector.
func (m *keeperMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- m.rows
	c <- m.lost
	for _, d := range m.gauges {
		c <- d
	}
	m.batch.Describe(c)
}

// Collect implements prometheus.Collector.
func (m *keeperMetrics) Collect(c chan<- prometheus.Metric) {
	if m.h.writer == nil {
		return
	}
	s := m.h.writer.Stats()
	count := func(d *prometheus.Desc, n int64, label string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	gauge := func(name string, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(m.gauges[name], prometheus.GaugeValue, v, labels...)
	}
	count(m.rows, s.Shipped, "shipped")
	count(m.rows, s.Late, "late")
	count(m.rows, s.Lost[store.LossBad], "bad")
	for _, reason := range lossReasons {
		count(m.lost, s.Lost[reason], reason)
	}
	gauge("journal", float64(s.Pending))
	up := 0.0
	if s.Up {
		up = 1
	}
	gauge("up", up)
	gauge("skew", s.Skew.Seconds())
	if !s.ShippedUntil.IsZero() {
		gauge("lag", max(0, m.h.now().Sub(s.ShippedUntil).Seconds()))
	}
	for _, seconds := range m.h.writer.Batches() {
		m.batch.Observe(seconds)
	}
	m.batch.Collect(c)
	m.database(gauge)
}

// database queries the database itself, with a short timeout.
func (m *keeperMetrics) database(gauge func(string, float64, ...string)) {
	db := m.h.reader()
	if db == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if size, err := db.Size(ctx); err == nil {
		gauge("size", float64(size))
	}
	if engine, id, schema, ok := m.h.identity(ctx, db); ok {
		gauge("info", 1, engine, id, schema)
	}
}
