package server

import (
	"strings"
	"testing"
)

// TestLocalPolicy: entries decide, are counted, and are named in the log.
func TestLocalPolicy(t *testing.T) {
	d := run(t, "enforce = 'strict'\nexempt = [{ip = '192.0.2.1', spf = 'other.test'}, {ip = '192.0.2.0/24', why = 'ticket 812'}]\n"+
		"rule = [{name = 'broken', when = 'spf[9].result == \"pass\"', action = 'reject'}]\n"+listeners)
	s := d.mta()
	d.begin(s)
	if got := d.finish(s); got != "accept" {
		t.Errorf("an exempt client: %s, want accept", got)
	}
	d.write("enforce = 'strict'\nrule = [{name = 'broken', when = 'spf[9].result == \"pass\"', action = 'accept'}]\n" + listeners)
	_, metrics := d.get("/metrics")
	for _, want := range []string{`postseal_local_policy_total{entry="1 ip=192.0.2.1 spf=other.test",table="exempt"} 0`,
		`postseal_local_policy_total{entry="2 ip=192.0.2.0/24",table="exempt"} 1`, `postseal_local_policy_total{entry="1 broken",table="rule"} 0`,
		`postseal_overrides_total{reason="trusted_forwarder"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics: want %s", want)
		}
	}
	if log := d.log.String(); !strings.Contains(log, "reason=local.exempt") || !strings.Contains(log, `why="exempt 2 ip=192.0.2.0/24: ticket 812"`) {
		t.Errorf("the log does not name the entry:\n%s", log)
	}
	d.reread("msg=reloaded")
	s.Abort(nil)
	d.begin(s)
	if got := d.finish(s); got != "reject" {
		t.Errorf("with a rule that cannot be evaluated: %s, want reject", got)
	}
	if _, metrics := d.get("/metrics"); !strings.Contains(metrics, `postseal_rule_errors_total{entry="1 broken"} 1`) || strings.Contains(metrics, `table="exempt"`) {
		t.Errorf("metrics after the reload do not count the error of the rule")
	}
}
