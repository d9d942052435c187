// Package rules is the operator's local policy: exemptions, and rules in the Common Expression
// Language (CEL) over the fields of a verdict. It changes what the published policy requests,
// before the enforcement mode. Every use is counted and recorded as the override reason of RFC
// 9990 §3.1.1.8.
package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal"
	"postseal/domain"
)

// Exempt describes mail that is accepted whatever its DMARC result: mail that matches all keys
// of the entry.
type Exempt struct {
	IP       string         `toml:"ip,omitempty"`       // address or CIDR of the client
	Client   string         `toml:"client,omitempty"`   // name of the client by confirmed reverse DNS (iprev), or "*.example.net" for all names below a domain
	SPFOf    string         `toml:"spf_of,omitempty"`   // domain whose SPF record lists the client, whatever MAIL FROM says
	User     string         `toml:"user,omitempty"`     // authenticated user
	DKIM     string         `toml:"dkim,omitempty"`     // domain with a passing signature
	SPF      string         `toml:"spf,omitempty"`      // domain whose SPF passed for the MAIL FROM identity
	ListID   string         `toml:"list_id,omitempty"`  // identifier of the List-Id field, only together with a key that identifies the sender
	Author   string         `toml:"author,omitempty"`   // domain of the From field, only together with a key that identifies the sender
	Override string         `toml:"override,omitempty"` // reason type in reports: local_policy, trusted_forwarder, mailing_list, other
	Why      string         `toml:"why,omitempty"`      // for the log, the reports and your successor
	Until    toml.LocalDate `toml:"until,omitempty"`    // the last day, UTC
}

// Rule changes the action for mail: the first rule whose expression is true applies.
type Rule struct {
	Name     string         `toml:"name,omitempty"`                      // for the log and the reports
	When     string         `toml:"when" also:"if expression condition"` // a CEL expression over the verdict
	Action   string         `toml:"action" also:"then do verdict"`       // accept, quarantine, reject or defer
	OnError  string         `toml:"on_error,omitempty"`                  // action if the expression costs more than its limit: accept, quarantine, reject or defer (the default)
	Override string         `toml:"override,omitempty"`                  // reason type in reports: local_policy, trusted_forwarder, mailing_list, other
	Why      string         `toml:"why,omitempty"`                       // for the log, the reports and your successor
	Until    toml.LocalDate `toml:"until,omitempty"`                     // the last day, UTC
}

// Config is the local policy as written in the configuration file.
type Config struct {
	Exempt []Exempt `toml:"exempt"`
	Rule   []Rule   `toml:"rule"`
}

// Problem is what is wrong with one entry.
type Problem struct {
	Table   string // "exempt" or "rule"
	Index   int    // of the entry in its table, from 0
	Key     string // the key with the problem, "" for the entry as a whole
	Line    int    // of the error within the value of Key, from 1; 0 is the value as a whole
	Column  int    // in characters, from 1
	Text    string
	Warning bool // the entry is skipped, everything else applies
}

// Set is a compiled local policy. It is safe for concurrent use.
type Set struct {
	exempts exempts
	rules   []*rule
}

// entry is what exemptions and rules have in common.
type entry struct {
	index    int
	label    string
	why      string
	override postseal.OverrideType
	ends     time.Time // zero: never
	*counts
}

// counts say how often an entry decided, and how often it could not be evaluated.
type counts struct{ used, failed atomic.Int64 }

// Use says how often an entry decided.
type Use struct {
	Table  string // "exempt" or "rule"
	Entry  string // such as "1 dkim=partner.example"
	Count  int64
	Errors int64 // evaluations that ended in an error: no match
}

// Uses lists every entry in the order of the configuration.
func (s *Set) Uses() []Use {
	uses := make([]Use, 0, len(s.exempts.all)+len(s.rules))
	for _, e := range s.exempts.all {
		uses = append(uses, Use{Table: "exempt", Entry: e.label, Count: e.used.Load()})
	}
	for _, r := range s.rules {
		uses = append(uses, Use{Table: "rule", Entry: r.label, Count: r.used.Load(), Errors: r.failed.Load()})
	}
	return uses
}

// Compile checks c and compiles it. An expired entry is a warning and is skipped; with any
// other problem the Set is nil.
func Compile(c Config, now time.Time) (*Set, []Problem) {
	b := &compiler{now: now, set: &Set{}}
	for i := range c.Exempt {
		b.at("exempt", i)
		b.exempt(&c.Exempt[i])
	}
	if len(b.set.exempts.spfOf) > maxSPFOf {
		b.at("exempt", 0)
		b.problem("", "the entries name more than %d domains in spf_of, and each is looked up for every message", maxSPFOf)
	}
	for i := range c.Rule {
		b.at("rule", i)
		b.rule(&c.Rule[i])
	}
	for _, p := range b.problems {
		if !p.Warning {
			return nil, b.problems
		}
	}
	return b.set, b.problems
}

// SPFOf lists the domains of spf_of, for postseal.Config.SPFOf. A nil Set has none.
func (s *Set) SPFOf() []string {
	if s == nil {
		return nil
	}
	return s.exempts.spfOf
}

// Fresh returns the same policy with new counters. Fresh of nil is nil.
func (s *Set) Fresh() *Set {
	if s == nil {
		return nil
	}
	fresh := &Set{}
	for _, e := range s.exempts.all {
		again := *e
		again.counts = new(counts)
		fresh.exempts.add(&again)
	}
	for _, r := range s.rules {
		again := *r
		again.counts = new(counts)
		fresh.rules = append(fresh.rules, &again)
	}
	return fresh
}

// Len is the number of entries in force. That of nil is 0.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.exempts.all) + len(s.rules)
}

// compiler gathers the problems of all entries.
type compiler struct {
	now      time.Time
	set      *Set
	problems []Problem
	table    string
	index    int
}

func (b *compiler) at(table string, index int) { b.table, b.index = table, index }

func (b *compiler) problem(key, format string, args ...any) {
	b.problems = append(b.problems, Problem{Table: b.table, Index: b.index, Key: key, Text: fmt.Sprintf(format, args...)})
}

// maxText limits texts that reach logs and reports.
const maxText = 200

// common checks what exemptions and rules have in common. It returns false for an expired
// entry, which is skipped.
func (b *compiler) common(e *entry, override string, otherwise postseal.OverrideType, why string, until toml.LocalDate) bool {
	e.index, e.why, e.override, e.counts = b.index, why, otherwise, new(counts)
	if override != "" {
		if !slices.Contains(overrides, override) {
			b.problem("override", "%q is not one of %s", override, strings.Join(overrides, ", "))
		}
		e.override = postseal.OverrideType(override)
	}
	if !printable(why) {
		b.problem("why", "must be at most %d characters of one line", maxText)
	}
	if until == (toml.LocalDate{}) {
		return true
	}
	e.ends = until.AsTime(time.UTC).AddDate(0, 0, 1)
	if e.expired(b.now) {
		b.problem("until", "this entry expired after %s and matches no more: renew or remove it", until)
		b.problems[len(b.problems)-1].Warning = true
		return false
	}
	return true
}

func (e *entry) expired(now time.Time) bool { return !e.ends.IsZero() && !now.Before(e.ends) }

// overrides are the types of RFC 9990 that a local policy may give.
var overrides = []string{string(postseal.LocalPolicy), string(postseal.TrustedForwarder), string(postseal.MailingList), string(postseal.OtherOverride)}

func printable(s string) bool {
	return len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// comment returns the text of the override: the entry, and why it exists.
func (e *entry) comment(table string) string {
	text := table + " " + e.label
	if e.why != "" {
		text += ": " + e.why
	}
	return text
}

// Policy is a postseal.Policy that applies local rules between what the author's domain
// publishes and the enforcement mode.
type Policy struct {
	Base postseal.EnforcePolicy
	Set  *Set // nil: no local rules
	// Replies are the operator's texts of replies.
	Replies Replies
	// OnError is called for a rule that could not be evaluated, which does not match.
	OnError func(entry string, err error)
}

// Decide implements postseal.Policy.
func (p *Policy) Decide(r *postseal.Report) postseal.Decision {
	d := p.Base.Published(r)
	if p.Set != nil && d.Reason != postseal.MessageLimit {
		p.local(r, &d)
	}
	d = p.Base.Enforce(r, d)
	p.Replies.word(r, &d)
	return d
}

// local applies the first exemption that matches, or else the first rule that is true. Rules do
// not apply to an exempt message. A message that an exemption may match, depending on a failed
// lookup, is deferred rather than lost.
func (p *Policy) local(r *postseal.Report, d *postseal.Decision) {
	e, unknown := p.Set.exempts.match(r, d.Reason)
	if e != nil {
		if d.Action == postseal.Accept {
			return
		}
		e.used.Add(1)
		*d = postseal.Decision{Action: postseal.Accept, Reason: postseal.LocalExempt,
			Override: &postseal.Override{Type: e.override, Comment: e.comment("exempt")}}
		return
	}
	if rule, action := p.firstRule(r, d); rule != nil {
		rule.used.Add(1)
		if action != d.Action {
			*d = postseal.Decision{Action: action, Reason: postseal.LocalRule,
				Override: &postseal.Override{Type: rule.override, Comment: rule.comment("rule")}}
		}
	}
	if unknown != nil && (d.Action == postseal.Reject || d.Action == postseal.Quarantine) {
		*d = postseal.Decision{Action: postseal.Defer, Reason: postseal.LocalExempt,
			Override: &postseal.Override{Type: unknown.override, Comment: unknown.comment("exempt") + ": a DNS lookup for it failed"}}
	}
}

// firstRule returns the first rule that is true, with its action, or that exceeds its cost
// limit, with the action for that case, because a sender must not avoid a rule by making it
// expensive.
func (p *Policy) firstRule(r *postseal.Report, d *postseal.Decision) (*rule, postseal.Action) {
	if len(p.Set.rules) == 0 {
		return nil, ""
	}
	v := newVerdict(r, d)
	for _, rule := range p.Set.rules {
		if rule.expired(r.Time) {
			continue
		}
		yes, err := rule.eval(v)
		if err != nil {
			rule.failed.Add(1)
			if p.OnError != nil {
				p.OnError(rule.label, err)
			}
		}
		switch {
		case yes:
			return rule, rule.action
		case isTooCostly(err):
			return rule, rule.onError
		}
	}
	return nil, ""
}

// domainName reads the domain of key.
func (b *compiler) domainName(key, value string) domain.Name {
	name, err := domain.Parse(value)
	if err != nil {
		b.problem(key, "%q is not a domain name: %v", value, err)
	}
	return name
}
