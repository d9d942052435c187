package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/replay"
	"postseal/resolver"
	"postseal/server/listener"
)

// TrialSchema identifies the JSON format of a TrialReport. New fields may be added.
const TrialSchema = "postseal.trial/1"

// TrialReport contains the results of [trial] since it began.
type TrialReport struct {
	Schema    string         `json:"schema"`
	Running   bool           `json:"running"`   // false if [trial] is not set
	Enforce   string         `json:"enforce"`   // the mode on trial
	Discovery string         `json:"discovery"` // the discovery on trial
	Since     time.Time      `json:"since"`
	Messages  int            `json:"messages"`
	Changes   int            `json:"changes"` // messages that would be handled differently
	Senders   []*TrialSender `json:"senders"` // of changes, most frequent first
}

// TrialSender counts the changes of one kind for one sender.
type TrialSender struct {
	Sender   string          `json:"sender"` // the list, or the network of the client
	Author   string          `json:"author"`
	Live     postseal.Action `json:"live"`
	Trial    postseal.Action `json:"trial"`
	Messages int             `json:"messages"`
	Ref      string          `json:"ref"` // of the last one, for postseal explain
	Last     time.Time       `json:"last"`
}

// maxTrialSenders limits the senders that are counted separately; the rest is counted together.
const (
	maxTrialSenders = 1000
	otherSenders    = "(others)"
	reconsiderTime  = 10 * time.Second
)

// trial decides on each verdict a second time.
type trial struct {
	*background
	engine  func() *listener.Engine
	outcome *prometheus.CounterVec

	mu        sync.Mutex
	candidate *candidate // nil without a trial
}

// candidate is the configuration on trial.
type candidate struct {
	verifier *postseal.Verifier
	found    *tally
}

// tally contains the results. It is kept across reloads with the same trial.
type tally struct {
	report  TrialReport
	senders map[trialKey]*TrialSender
}

type trialKey struct {
	sender, author string
	live, trial    postseal.Action
}

// tries reports whether both test the same settings.
func (f *tally) tries(other *tally) bool {
	return f.report.Enforce == other.report.Enforce && f.report.Discovery == other.report.Discovery
}

func newTrial(r prometheus.Registerer, engine func() *listener.Engine) *trial {
	t := &trial{engine: engine, outcome: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postseal", Name: "trial_total",
		Help: "Verdicts that [trial] evaluated, by the action taken and the action it would have taken."}, []string{"live", "trial"})}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "postseal", Name: "trial_dropped_total",
		Help: "Verdicts that [trial] was too slow to evaluate."})
	r.MustRegister(t.outcome, dropped)
	t.background = newBackground(dropped, t.decide)
	return t
}

// newCandidate returns the candidate of c, or nil without a trial.
func newCandidate(c *conf.Config, dns resolver.Resolver) (*candidate, error) {
	tried := c.Candidate()
	if tried == nil {
		return nil, nil
	}
	engine, _ := tried.Engine()
	engine.Resolver = dns
	v, err := postseal.New(engine)
	if err != nil {
		return nil, fmt.Errorf("[trial] %w", err)
	}
	return &candidate{v, &tally{senders: map[trialKey]*TrialSender{},
		report: TrialReport{Running: true, Enforce: string(tried.Enforce), Discovery: string(tried.DMARC.Discovery), Since: time.Now().UTC()}}}, nil
}

// use applies c. Results are kept as long as the trial is the same.
func (t *trial) use(c *candidate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.candidate; old != nil && c != nil && old.found.tries(c.found) {
		c.found = old.found
	}
	t.candidate = c
}

func (t *trial) inForce() *candidate {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.candidate
}

// record receives every verdict.
func (t *trial) record(v listener.Verdict) {
	if t.inForce() != nil {
		t.take(v)
	}
}

func (t *trial) decide(v listener.Verdict) {
	defer t.engine().Recover("trial", nil)
	c := t.inForce()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reconsiderTime)
	defer cancel()
	live, tried := v.Report.Decision.Applied, c.verifier.Reconsider(ctx, v.Report).Applied
	t.outcome.WithLabelValues(string(live), string(tried)).Inc()
	t.mu.Lock()
	defer t.mu.Unlock()
	c.found.add(v.Report, live, tried)
}

func (f *tally) add(r *postseal.Report, live, tried postseal.Action) {
	f.report.Messages++
	if live == tried {
		return
	}
	f.report.Changes++
	key := trialKey{replay.Sender(r), replay.Author(r), live, tried}
	if f.senders[key] == nil && len(f.senders) >= maxTrialSenders {
		key.sender, key.author = otherSenders, otherSenders
	}
	s := f.senders[key]
	if s == nil {
		s = &TrialSender{Sender: key.sender, Author: key.author, Live: live, Trial: tried}
		f.senders[key] = s
	}
	s.Messages++
	s.Ref, s.Last = r.Ref, r.Time.UTC()
}

// report returns the results so far.
func (t *trial) report() *TrialReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := TrialReport{Senders: []*TrialSender{}}
	if t.candidate != nil {
		found := t.candidate.found
		r = found.report
		r.Senders = make([]*TrialSender, 0, len(found.senders))
		for _, s := range found.senders {
			shown := *s
			r.Senders = append(r.Senders, &shown)
		}
	}
	r.Schema = TrialSchema
	slices.SortFunc(r.Senders, func(a, b *TrialSender) int {
		return cmp.Or(b.Messages-a.Messages, cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Author, b.Author), cmp.Compare(a.Trial, b.Trial))
	})
	return &r
}
