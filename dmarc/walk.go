package dmarc

import (
	"context"

	"postseal/internal/domain"
	"postseal/resolver"
)

// maxLabels is the length from which the tree walk cuts a name short (RFC 9989 §4.10).
const maxLabels = 8

// Outcome is what one step of a walk found.
type Outcome string

// The outcomes of a step. Several records at one name count as none (RFC 9989 §4.10
// step 2).
const (
	FoundRecord  Outcome = "record"
	FoundNone    Outcome = "none"
	FoundSeveral Outcome = "several"
	FoundUnknown Outcome = "unknown"
)

// Step is one logical query of a walk.
type Step struct {
	Name    string // the name that was asked, with its _dmarc label
	Domain  domain.Name
	Outcome Outcome
	Record  *Record // with FoundRecord
	Err     error   // with FoundUnknown: why

	exists bool // the answer proves that Domain exists
}

// found is what the TXT records at one name amount to; kept with the answer.
type found struct {
	record  *Record
	outcome Outcome
}

func parseAnswer(a resolver.Answer) *found {
	f := &found{outcome: FoundNone}
	for _, rr := range a.Records {
		r, ok := Parse(rr.Text)
		switch {
		case !ok:
		case f.outcome == FoundNone:
			f.record, f.outcome = r, FoundRecord
		default:
			return &found{outcome: FoundSeveral}
		}
	}
	return f
}

// walkNames returns the names of a tree walk from start, longest first: at most eight
// (RFC 9989 §4.10 steps 1 to 7).
func walkNames(start domain.Name) []domain.Name {
	names := make([]domain.Name, 0, maxLabels)
	next := start.Parent()
	if start.Labels() >= maxLabels {
		next = start.Last(maxLabels - 1)
	}
	names = append(names, start)
	for ; next != ""; next = next.Parent() {
		names = append(names, next)
	}
	return names
}

// session is the evaluation of one message: it asks for each name once (RFC 9989
// §4.10.2 walks from several names).
type session struct {
	*Evaluator
	ctx   context.Context
	steps []Step
}

func queryName(name domain.Name) string { return "_dmarc." + string(name) }

func (s *session) prefetch(names []domain.Name) {
	if _, ok := s.Resolver.(resolver.Prefetcher); !ok {
		return
	}
	for _, n := range names {
		resolver.Prefetch(s.Resolver, queryName(n), resolver.TXT)
	}
}

func (s *session) step(name domain.Name) Step {
	for i := range s.steps {
		if s.steps[i].Domain == name {
			return s.steps[i]
		}
	}
	st := s.ask(name)
	s.steps = append(s.steps, st)
	return st
}

func (s *session) ask(name domain.Name) Step {
	st := Step{Name: queryName(name), Domain: name, Outcome: FoundNone}
	if !resolver.ValidName(st.Name) {
		return st // such a name cannot exist; an error would let a sender force a deferral
	}
	a, err := s.Resolver.Lookup(s.ctx, st.Name, resolver.TXT)
	if err != nil {
		st.Outcome, st.Err = FoundUnknown, err
		return st
	}
	st.exists = !a.NXDomain || a.Aliased(st.Name)
	if len(a.Records) > 0 {
		f := resolver.Parsed(a, parseAnswer)
		st.Record, st.Outcome = f.record, f.outcome
	}
	return st
}

// walk is the discovery from one name: its steps, longest name first, and what they say
// about the Organizational Domain.
type walk struct {
	start   domain.Name
	floor   domain.Name // with the guard, no shorter name may be the Organizational Domain
	fixed   domain.Name // the Organizational Domain by the public suffix list
	steps   []Step
	unknown bool // some step is
}

func (s *session) walk(start domain.Name) *walk {
	if s.discovery() == PSL {
		return s.listWalk(start)
	}
	w := &walk{start: start}
	if !s.NoGuard {
		w.floor = floor(start)
	}
	names := walkNames(start)
	s.prefetch(names)
	w.steps = make([]Step, 0, len(names))
	for _, n := range names {
		st := s.step(n)
		w.steps = append(w.steps, st)
		w.unknown = w.unknown || st.Outcome == FoundUnknown
		if st.Record != nil && st.Record.PSD != PSDUnknown {
			break
		}
	}
	return w
}

// listWalk is discovery with a public suffix list: the name itself, then its
// Organizational Domain if nothing was there (RFC 7489 §6.6.3).
func (s *session) listWalk(start domain.Name) *walk {
	w := &walk{start: start, fixed: start.Registrable()}
	s.prefetch([]domain.Name{start, w.fixed})
	w.steps = append(w.steps, s.step(start))
	if w.steps[0].Outcome == FoundNone && w.fixed != start {
		w.steps = append(w.steps, s.step(w.fixed))
	}
	for _, st := range w.steps {
		w.unknown = w.unknown || st.Outcome == FoundUnknown
	}
	return w
}

// floor is the name one label below the ICANN public suffix of name, and name itself when
// it is no longer than that; none when the list does not know it. A registry that publishes
// a record without psd=y would make one organization of all its customers (RFC 9989 §11.8).
func floor(name domain.Name) domain.Name {
	suffix, icann := name.PublicSuffix()
	for !icann {
		parent := suffix.Parent()
		if parent == "" {
			return ""
		}
		suffix, icann = parent.PublicSuffix()
	}
	return name.Last(suffix.Labels() + 1)
}

// from returns the longest of org and the names above it that has a record: that of the
// Organizational Domain, else that of the public suffix (RFC 9989 §4.10.1). known is false
// when a failed lookup hides which one it is.
func (w *walk) from(org domain.Name) (st *Step, known bool) {
	for i := range w.steps {
		st := &w.steps[i]
		switch {
		case !org.Within(st.Domain):
		case st.Outcome == FoundUnknown:
			return nil, false
		case st.Record != nil:
			return st, true
		}
	}
	return nil, true
}
