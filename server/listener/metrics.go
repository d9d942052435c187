package listener

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postseal"
)

// Metrics are those of docs/reference/metrics.md. No label contains untrusted text.
type Metrics struct {
	Registry *prometheus.Registry

	Messages       *prometheus.CounterVec // verdict, applied, enforce
	SPF            *prometheus.CounterVec // result, identity
	Signatures     *prometheus.CounterVec // result, algo
	DMARC          *prometheus.CounterVec // result, policy, disposition
	ARC            *prometheus.CounterVec // result
	Overrides      *prometheus.CounterVec // reason
	Skipped        *prometheus.CounterVec // door, reason
	Shed           *prometheus.CounterVec // door, reason
	MemoryLimit    prometheus.Gauge
	Verify         *prometheus.HistogramVec
	Listeners      map[string]ListenerMetrics
	PolicyRequests *prometheus.CounterVec // action
	Panics         prometheus.Counter
	DNSQueries     *prometheus.CounterVec // type, rcode
	DNSDuration    prometheus.Histogram
	ReloadSuccess  prometheus.Gauge
	ReloadTime     prometheus.Gauge
}

// The names of the listeners, in logs and metrics.
const (
	Milter = "milter"
	Policy = "policy"
	SMTP   = "smtp"
	HTTP   = "http"
	Public = "public"
)

// ListenerMetrics are the metrics that each listener has.
type ListenerMetrics struct {
	Connections prometheus.Gauge
	Errors      *prometheus.CounterVec // kind
	last        *atomic.Int64          // when the last connection came, in milliseconds since 1970
}

// LastConnection returns when the last connection came, the zero time if none did since the start.
func (m ListenerMetrics) LastConnection() time.Time {
	if ms := m.last.Load(); ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// connected notes that a connection came.
func (m ListenerMetrics) connected() {
	if m.last != nil {
		m.last.Store(time.Now().UnixMilli())
	}
}

// NewMetrics registers the metrics in a separate registry.
func NewMetrics(version string) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	m.Messages = m.counter("messages_total", "Messages by the action that their policy requests and the action taken.", "verdict", "applied", "enforce")
	m.SPF = m.counter("spf_total", "SPF results by identity.", "result", "identity")
	m.Signatures = m.counter("dkim_signatures_total", "DKIM signatures by result and algorithm.", "result", "algo")
	m.DMARC = m.counter("dmarc_total", "DMARC results by policy and by the action taken.", "result", "policy", "disposition")
	m.ARC = m.counter("arc_total", "ARC chain validation results.", "result")
	m.Overrides = m.counter("overrides_total", "Messages whose disposition differs from the published policy, by reason type.", "reason")
	m.Skipped = m.counter("skipped_total", "Messages that were not checked, by listener and reason.", "door", "reason")
	m.Shed = m.counter("shed_total", "Work refused to stay within the limits: low memory (messages, requests, connections), messages that hold much of it (costly), an idle connection closed for a waiting client (full), a pause for lack of file descriptors (descriptors).", "door", "reason")
	m.MemoryLimit = m.gauge("memory_limit_bytes", "Memory limit of the daemon, 0 without a limit.")
	m.Verify = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "postseal", Name: "verify_duration_seconds",
		Help:    "Time to a verdict: total is since MAIL FROM, answer is since the end of the message.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30}}, []string{"stage"})
	m.Listeners = map[string]ListenerMetrics{}
	for _, door := range []string{Milter, Policy, SMTP} {
		m.Listeners[door] = ListenerMetrics{Connections: m.gauge(door+"_connections", "Open connections."),
			Errors: m.counter(door+"_errors_total", "Connections that ended with an error, by kind.", "kind"), last: new(atomic.Int64)}
	}
	m.PolicyRequests = m.counter("policy_requests_total", "Policy requests by the action of the answer.", "action")
	m.Panics = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "postseal", Name: "panics_total", Help: "Recovered panics. Each is a bug: please report it."})
	m.DNSQueries = m.counter("dns_queries_total", "Queries to name servers, by type and by answer or kind of failure.", "type", "rcode")
	m.DNSDuration = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "postseal", Name: "dns_duration_seconds", Help: "Time to an answer from a name server.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}})
	m.ReloadSuccess = m.gauge("config_reload_success", "1 if the last configuration that was read is in force, 0 if it had errors.")
	m.ReloadTime = m.gauge("config_reload_timestamp_seconds", "When the current configuration was read.")
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "postseal", Name: "build_info", Help: "Constant 1, with the version."}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.Registry.MustRegister(m.Verify, m.Panics, m.DNSDuration, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: name, Help: help}, labels)
	m.Registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "postseal", Name: name, Help: help})
	m.Registry.MustRegister(g)
	return g
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Reloaded records whether a loaded configuration is in force.
func (m *Metrics) Reloaded(ok bool, now time.Time) {
	if !ok {
		m.ReloadSuccess.Set(0)
		return
	}
	m.ReloadSuccess.Set(1)
	m.ReloadTime.Set(float64(now.UnixMilli()) / 1000)
}

func (m *Metrics) verdict(v Verdict) {
	r := v.Report
	d := &r.Decision
	m.Messages.WithLabelValues(string(d.Action), string(d.Applied), string(v.Snapshot.Config.Enforce)).Inc()
	for _, s := range r.SPF {
		m.SPF.WithLabelValues(string(s.Code), string(s.Identity)).Inc()
	}
	for _, s := range r.DKIM {
		m.Signatures.WithLabelValues(string(s.Code), algorithm(s.Algorithm)).Inc()
	}
	m.DMARC.WithLabelValues(string(r.DMARC.Code), string(r.DMARC.Policy), disposition(d.Applied)).Inc()
	m.ARC.WithLabelValues(string(r.ARC.Code)).Inc()
	if d.Override != nil {
		m.Overrides.WithLabelValues(string(d.Override.Type)).Inc()
	}
	observeRef(m.Verify.WithLabelValues("total"), float64(r.Cost.Micros)/1e6, r.Ref)
	m.Verify.WithLabelValues("answer").Observe(v.Took.Seconds())
}

// slowVerdict is how long a verdict must take for its reference to be stored with the measurement.
const slowVerdict = 0.01

// observeRef stores the reference of a slow verdict with the measurement, so it can be
// explained. Only OpenMetrics shows exemplars.
func observeRef(o prometheus.Observer, seconds float64, ref string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && ref != "" && seconds >= slowVerdict {
		e.ObserveWithExemplar(seconds, prometheus.Labels{"ref": ref})
		return
	}
	o.Observe(seconds)
}

// algorithm limits the values of the label: the tag is untrusted text.
func algorithm(a string) string {
	if known := []string{"rsa-sha256", "ed25519-sha256", "rsa-sha1"}; slices.Contains(known, strings.ToLower(a)) {
		return strings.ToLower(a)
	}
	return "other"
}

// disposition returns the RFC 9990 word for an action; a deferred message has none yet.
func disposition(a postseal.Action) string {
	if a == postseal.Accept {
		return "none"
	}
	return string(a)
}
