package spf

import "strings"

// Step is one term of a traced check, in the order of evaluation (RFC 7208 §4.6.2).
type Step struct {
	Depth   int    // of include and redirect, from 0
	Domain  string // whose record holds the term
	Term    string // as written
	Matched bool
	Code    Code // what the term ended its record with, "" when the next one was tried
	Lookup  int  // its number among the lookups, 0 when it cost none
	Void    bool
}

// stepInto notes a term before it is evaluated, and returns its index; -1 without a trace.
func (e *evaluation) stepInto(name, record string, offset int) int {
	if !e.Trace {
		return -1
	}
	term, _, _ := strings.Cut(record[offset:], " ")
	e.steps = append(e.steps, Step{Depth: len(e.path) - 1, Domain: name, Term: term, Lookup: e.lookups})
	return len(e.steps) - 1
}

// stepOut notes what came of it. A directive that matches gives its qualifier.
func (e *evaluation) stepOut(i int, matched bool, qualifier Code, o *outcome) {
	if i < 0 {
		return
	}
	s := &e.steps[i]
	s.Matched = matched
	switch {
	case o != nil:
		s.Code = o.code
	case matched:
		s.Code = qualifier
	}
	before := s.Lookup
	s.Lookup = 0
	if e.lookups > before {
		s.Lookup, s.Void = before+1, e.spent[before].Void
	}
}
