package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/rules"
	"postseal/server/listener"
)

// localPolicy shows how often each entry of the local policy in force decided, so that unused
// ones can be found. The labels are the operator's own words.
type localPolicy struct{ engine *listener.Engine }

var (
	usesDesc = prometheus.NewDesc("postseal_local_policy_total", "Messages decided by an [[exempt]] or [[rule]] entry, since the configuration was read.",
		[]string{"table", "entry"}, nil)
	ruleErrorsDesc = prometheus.NewDesc("postseal_rule_errors_total", "Evaluations of a [[rule]] entry that ended in an error, since the configuration was read.",
		[]string{"entry"}, nil)
)

// Describe implements prometheus.Collector.
func (l localPolicy) Describe(out chan<- *prometheus.Desc) {
	out <- usesDesc
	out <- ruleErrorsDesc
}

// Collect implements prometheus.Collector.
func (l localPolicy) Collect(out chan<- prometheus.Metric) {
	policy, ok := l.engine.Current().Verifier.Config().Policy.(*rules.Policy)
	if !ok || policy.Set == nil {
		return
	}
	for _, u := range policy.Set.Uses() {
		out <- prometheus.MustNewConstMetric(usesDesc, prometheus.CounterValue, float64(u.Count), u.Table, u.Entry)
		if u.Table == "rule" {
			out <- prometheus.MustNewConstMetric(ruleErrorsDesc, prometheus.CounterValue, float64(u.Errors), u.Entry)
		}
	}
}
