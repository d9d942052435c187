package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postseal"
)

func (d *daemonUnderTest) trialReport() (r TrialReport) {
	d.t.Helper()
	_, body := d.get("/v1/trial")
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.Schema != TrialSchema {
		d.t.Fatalf("%v: %s", err, body)
	}
	return r
}

// TestTrial: what the candidate would do is counted by sender and never done; a reload that
// tries the same continues, another begins again, and none stops.
func TestTrial(t *testing.T) {
	const observe = "enforce = 'observe'\n" + listeners
	d := run(t, observe+"[trial]\nenforce = 'strict'\n")
	s := d.mta()
	send := func() {
		d.begin(s)
		if got := d.finish(s); got != "accept" {
			t.Errorf("got %s, want accept", got)
		}
		s.Abort(nil)
	}
	send()
	d.write(observe + "[trial]\nenforce = 'strict'\n[limits]\nfields = 100\n")
	d.reread("msg=reloaded")
	send()
	eventually(t, "the trial", func() bool { return d.trialReport().Messages == 2 })
	r := d.trialReport()
	if len(r.Senders) != 1 || !r.Running || r.Enforce != "strict" || r.Discovery != "treewalk" || r.Changes != 2 {
		t.Fatalf("got %+v", r)
	}
	if got := r.Senders[0]; got.Sender != "192.0.2.0/24" || got.Author != "reject.test" || got.Live != "accept" || got.Trial != "reject" || got.Messages != 2 || len(got.Ref) != 8 {
		t.Errorf("got %+v", got)
	}
	if _, metrics := d.get("/metrics"); !strings.Contains(metrics, `postseal_trial_total{live="accept",trial="reject"} 2`) {
		t.Error("the trial is not counted")
	}
	d.write(observe + "[trial]\ndiscovery = 'psl'\n")
	d.reread("msg=reloaded")
	send()
	eventually(t, "the second trial", func() bool { return d.trialReport().Messages == 1 })
	if r := d.trialReport(); r.Changes != 0 || r.Discovery != "psl" || r.Enforce != "observe" {
		t.Errorf("got %+v", r)
	}
	d.write(observe)
	d.reread("msg=reloaded")
	if r := d.trialReport(); r.Running || r.Senders == nil {
		t.Errorf("got %+v", r)
	}
}

// TestTrialBound: senders without end take no memory without end.
func TestTrialBound(t *testing.T) {
	c := &tally{senders: map[trialKey]*TrialSender{}}
	d := run(t, listeners)
	for i := range maxTrialSenders + 500 {
		s := d.engine.Current().Verifier
		r, err := postseal.VerifyReader(t.Context(), s, postseal.Conn{}, "", "", strings.NewReader(fmt.Sprintf("From: a@d%d.test\r\n\r\n", i)))
		if err != nil {
			t.Fatal(err)
		}
		r.Time = time.Unix(int64(i), 0)
		c.add(r, postseal.Accept, postseal.Reject)
	}
	if len(c.senders) != maxTrialSenders+1 || c.report.Changes != maxTrialSenders+500 {
		t.Errorf("%d senders, %d changes", len(c.senders), c.report.Changes)
	}
}
