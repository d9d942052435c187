package audit

import (
	"slices"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

// The severities. Critical: anyone can send as the domain. Error: receivers reject or ignore
// what is published. Warn: weaker than it should be. Info: worth knowing.
const (
	Critical Severity = "critical"
	Error    Severity = "error"
	Warn     Severity = "warn"
	Info     Severity = "info"
)

var severities = [...]Severity{Info, Warn, Error, Critical}

// Rank orders severities; the least severe is 0.
func (s Severity) Rank() int { return slices.Index(severities[:], s) }

// Rule is one thing that an audit checks. Its ID never changes its meaning and is never reused
// for another rule.
type Rule struct {
	ID       string
	Severity Severity
	Title    string // plain words
	RFC      string // number and section; "" if only practice requires it
	Why      string // why it matters, in a sentence
	Fix      string // how to fix it
	Cap      Grade  // the best grade that a report with such a finding can have; "" uses that of the severity
}

var rules = slices.Concat(spfRules, dkimRules, dmarcRules, mailRules, transportRules, zoneRules)

var byID = func() map[string]Rule {
	m := make(map[string]Rule, len(rules))
	for _, r := range rules {
		m[r.ID] = r
	}
	return m
}()

// Rules lists every rule, those of one mechanism together.
func Rules() []Rule { return slices.Clone(rules) }

// RuleOf returns the rule of an ID.
func RuleOf(id string) (Rule, bool) {
	r, ok := byID[id]
	return r, ok
}

// Area is the part of an ID before the dot: the mechanism that it is about.
func (r Rule) Area() string {
	area, _, _ := strings.Cut(r.ID, ".")
	return area
}

// Cite returns the source of the rule in the usual notation.
func (r Rule) Cite() string {
	switch {
	case r.RFC == "":
		return "practice"
	case r.RFC[0] < '0' || r.RFC[0] > '9':
		return r.RFC
	}
	return "RFC " + r.RFC
}

// BestGrade returns the best grade that a report with such a finding can have.
func (r Rule) BestGrade() Grade {
	switch {
	case r.Cap != "":
		return r.Cap
	case r.Severity == Critical:
		return "F"
	case r.Severity == Error:
		return "C"
	case r.Severity == Warn:
		return "B"
	}
	return "A"
}
