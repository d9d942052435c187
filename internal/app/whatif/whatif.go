// Package whatif evaluates the evidence of past verdicts under two policies, and tells which
// messages would have ended in another way: what "postseal whatif" and the page of that name show.
package whatif

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/dmarc"
	"postseal/internal/app/conf"
	"postseal/internal/app/replay"
	"postseal/internal/app/rules"
	"postseal/store/evidence"
)

// Schema is the name of the JSON of a Report. Changes to it only add.
const Schema = "postseal.whatif/1"

// The bounds of one run. Older evidence is not looked at.
const (
	MaxMessages = 20_000
	maxChanges  = 200
	maxRefs     = 5
)

// Others is the sender of changes over the bound.
const Others = "(others)"

// Report is the result of a run.
type Report struct {
	Schema    string    `json:"schema"`
	A         string    `json:"a"`
	B         string    `json:"b"`
	Since     time.Time `json:"since"`
	Messages  int       `json:"messages"`
	Changed   int       `json:"changed"`
	Undecided int       `json:"undecided"` // the evidence lacks a DNS answer that a policy needs
	Broken    int       `json:"broken"`    // the evidence cannot be read
	More      bool      `json:"more"`      // there is older evidence in the period that was not looked at
	// Accepted says whether the evidence holds accepted mail. If not, only mail that was not
	// accepted is seen: what a stricter policy would do to the rest is not known.
	Accepted bool     `json:"accepted"`
	Ways     []Way    `json:"ways"`
	Changes  []Change `json:"changes"`         // the most first
	Hosts    []Host   `json:"hosts,omitempty"` // those that share the database
	// Unasked is why the others were not asked, "" if they were.
	Unasked string `json:"unasked,omitempty"`
}

// Way counts the messages that would go from one action to another.
type Way struct {
	From  postseal.Action      `json:"from"`
	To    postseal.Action      `json:"to"`
	N     int                  `json:"n"`
	Looks map[replay.Looks]int `json:"looks"`
}

// Change is the messages of one sender in the name of one author that change in one way.
type Change struct {
	Sender   string          `json:"sender"` // the list, or the network of the client
	Author   string          `json:"author"`
	From     postseal.Action `json:"from"`
	To       postseal.Action `json:"to"`
	N        int             `json:"n"`
	Looks    replay.Looks    `json:"looks"`
	Evidence []string        `json:"evidence"` // of the newest
	Refs     []string        `json:"refs"`     // of the newest
}

// Policy is one side of the comparison. The zero Policy is what was done.
type Policy struct {
	Name      string
	config    *conf.Config // nil for what was done
	decide    postseal.Policy
	discovery dmarc.Discovery
}

// Live is what was done.
const Live = "live"

// Words are the policies that have a name besides Live.
var Words = []string{"observe", "quarantine", "guarded", "strict", "treewalk", "psl", "trial"}

// Named returns the policy of a word: what was done, c with another mode, c with another
// discovery, or the policy that [trial] of c tests.
func Named(word string, c *conf.Config) (Policy, error) {
	other := *c
	switch word {
	case "", Live:
		return Policy{Name: Live}, nil
	case "observe", "quarantine", "guarded", "strict":
		other.Enforce = postseal.Enforce(word)
	case "treewalk", "psl":
		other.DMARC.Discovery = dmarc.Discovery(word)
	case "trial":
		candidate := c.Candidate()
		if candidate == nil {
			return Policy{}, fmt.Errorf("[trial] tests nothing: set [trial] enforce or discovery")
		}
		other = *candidate
	default:
		return Policy{}, fmt.Errorf("%.40q is not one of %s, %s", word, Live, strings.Join(Words, ", "))
	}
	return Configured(word, &other), nil
}

// Configured returns the policy of a configuration.
func Configured(name string, c *conf.Config) Policy {
	engine, policy := c.Engine()
	return Policy{Name: name, config: c, decide: policy, discovery: engine.Discovery}
}

// With returns c's policy with one more exemption, before the others.
func With(name string, c *conf.Config, e rules.Exempt, now time.Time) (Policy, error) {
	return Edited(name, c, append([]rules.Exempt{e}, c.Exempt...), c.Rule, now)
}

// Edited returns c's policy with other exemptions and rules.
func Edited(name string, c *conf.Config, exempts []rules.Exempt, all []rules.Rule, now time.Time) (Policy, error) {
	set, problems := rules.Compile(rules.Config{Exempt: exempts, Rule: all}, now)
	if set == nil && len(problems) > 0 {
		return Policy{}, fmt.Errorf("%s: %s", problems[0].Key, problems[0].Text)
	}
	other := *c
	other.Exempt, other.Rule = exempts, all
	engine, policy := c.Engine()
	policy.Set = set
	return Policy{Name: name, config: &other, decide: policy, discovery: engine.Discovery}, nil
}

// FromTOML returns the policy of a part of a configuration file: enforce, [dmarc], [arc],
// [[exempt]] and [[rule]]. The error is a *conf.Error with the place of each problem.
func FromTOML(name string, text []byte, now time.Time) (Policy, error) {
	c, _, err := conf.ParsePart(name, text, now, "enforce", "dmarc", "arc", "exempt", "rule")
	if err != nil {
		return Policy{}, err
	}
	return Configured(name, c), nil
}

// Options say what to compare.
type Options struct {
	Dir      string // of the bundles
	Since    time.Time
	A, B     Policy
	Accepted bool // see Report
	// Progress, if not nil, is told how many of all messages are done.
	Progress func(done, all int)
}

// Run compares the policies with the evidence of one folder. It ends early with the error of ctx.
func Run(ctx context.Context, o Options) (*Report, error) {
	p, err := Look(ctx, o)
	if err != nil {
		return nil, err
	}
	r := o.report()
	r.Accepted = o.Accepted
	return Merge(r, p), nil
}

// report is a Report without messages.
func (o *Options) report() *Report {
	return &Report{Schema: Schema, A: o.A.Name, B: o.B.Name, Since: o.Since.UTC().Truncate(time.Second), Accepted: true}
}

func (t *tally) bundle(ctx context.Context, o *Options, k evidence.Kept) {
	data, err := os.ReadFile(k.Path)
	if err != nil { // it was removed since it was listed
		return
	}
	kept, err := bundle.Parse(data)
	if err != nil {
		t.Broken++
		return
	}
	report, err := kept.Run(ctx)
	if err != nil {
		t.Broken++
		return
	}
	report.Ref = kept.Ref
	from, known := o.A.applied(ctx, kept, report)
	to, knownToo := o.B.applied(ctx, kept, report)
	t.Messages++
	if !known || !knownToo {
		t.Undecided++
		return
	}
	if from != to {
		t.add(report, k.Made, from, to)
	}
}

// applied is what a policy does with a message. known is false if the evidence lacks an answer
// that it needs.
func (p *Policy) applied(ctx context.Context, kept *bundle.Bundle, r *postseal.Report) (a postseal.Action, known bool) {
	if p.decide == nil {
		for _, e := range kept.Expect {
			if text, ok := strings.CutPrefix(e, "applied="); ok {
				return postseal.Action(text), true
			}
		}
		return r.Decision.Applied, len(bundle.Missing(r)) == 0
	}
	again := *r
	again.Decision = postseal.Decision{}
	if p.discovery == r.DMARC.Discovery {
		return p.decide.Decide(&again).Applied, len(bundle.Missing(r)) == 0
	}
	return p.rediscovered(ctx, kept, &again)
}

// rediscovered looks for the policy of the domain in another way, in the kept answers alone.
func (p *Policy) rediscovered(ctx context.Context, kept *bundle.Bundle, r *postseal.Report) (postseal.Action, bool) {
	config, err := kept.Config()
	if err != nil {
		return "", false
	}
	asked := &noted{Resolver: config.Resolver}
	config.Resolver, config.Discovery, config.Policy = asked, p.discovery, p.decide
	v, err := postseal.New(config)
	if err != nil {
		return "", false
	}
	a := v.Reconsider(ctx, r).Applied
	return a, !asked.missing.Load()
}
