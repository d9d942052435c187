package dmarc

import (
	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/dnsdata"
	"postseal/internal/core/memo"
	"postseal/internal/core/middleware"
	"postseal/resolver"
)

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
	Record  string // its text, with FoundRecord
	Err     error  // with FoundUnknown: why

	record *dmarcrecord.Record
	exists bool // the answer proves that Domain exists
	told   bool // the Resolver was told about the query
}

// found is what the TXT records at one name amount to; kept with the answer.
type found struct {
	record  *dmarcrecord.Record
	outcome Outcome
}

func parseAnswer(a resolver.Answer) *found {
	f := &found{outcome: FoundNone}
	for _, rr := range a.Records {
		r, ok := dmarcrecord.Parse(rr.Text)
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

// prefetchWalk tells the Resolver of every question that the walk from start may ask.
func (x *evaluation) prefetchWalk(start domain.Name) {
	if start == "" {
		return
	}
	names := dmarcrecord.WalkNames
	if x.evaluator.discovery() == PSL {
		names = dmarcrecord.ListNames
	}
	for n := range names(start) {
		x.prefetch(n)
	}
}

// prefetch tells the Resolver of a question to come.
func (x *evaluation) prefetch(name domain.Name) {
	st := x.step(name)
	if st.told {
		return
	}
	st.told = true
	middleware.Prefetch(x.evaluator.Resolver, st.Name, resolver.TXT)
}

// step finds the step at name, which was asked for or not. It stays where it is until the
// next call.
func (x *evaluation) step(name domain.Name) *Step {
	for i := range x.steps {
		if x.steps[i].Domain == name {
			return &x.steps[i]
		}
	}
	x.steps = append(x.steps, Step{Name: dmarcrecord.QueryName(name), Domain: name})
	return &x.steps[len(x.steps)-1]
}

// asked is step with its outcome.
func (x *evaluation) asked(name domain.Name) Step {
	st := x.step(name)
	if st.Outcome == "" {
		x.ask(st)
	}
	return *st
}

func (x *evaluation) ask(st *Step) {
	st.Outcome = FoundNone
	if !dnsdata.ValidName(st.Name) {
		return // such a name cannot exist; an error would let a sender force a deferral
	}
	a, err := x.evaluator.Resolver.Lookup(x.ctx, st.Name, resolver.TXT)
	if err != nil {
		st.Outcome, st.Err = FoundUnknown, err
		return
	}
	st.exists = !a.NXDomain || a.Aliased(st.Name)
	if len(a.Records) > 0 {
		f := memo.Parsed(a, parseAnswer)
		if st.record, st.Outcome = f.record, f.outcome; f.record != nil {
			st.Record = f.record.Text
		}
	}
}

// walk is the discovery from one name: its steps, longest name first, and what they say
// about the Organizational Domain.
type walk struct {
	start   domain.Name
	guard   bool        // against registries: see floor
	fixed   domain.Name // the Organizational Domain by the public suffix list
	steps   []Step
	unknown bool // some step is
}

// walk fills w.
func (x *evaluation) walk(w *walk, start domain.Name) {
	w.start, w.guard = start, !x.evaluator.NoGuard
	if x.evaluator.discovery() == PSL {
		x.listWalk(w)
		return
	}
	x.prefetchWalk(start)
	for n := range dmarcrecord.WalkNames(start) {
		st := x.asked(n)
		w.steps = append(w.steps, st)
		w.unknown = w.unknown || st.Outcome == FoundUnknown
		if st.record != nil && st.record.PSD != dmarcrecord.PSDUnknown {
			break
		}
	}
}

// listWalk is discovery with a public suffix list: the name itself, then its
// Organizational Domain if nothing was there (RFC 7489 §6.6.3).
func (x *evaluation) listWalk(w *walk) {
	w.fixed = w.start.Registrable()
	x.prefetchWalk(w.start)
	w.steps = append(w.steps, x.asked(w.start))
	if w.steps[0].Outcome == FoundNone && w.fixed != w.start {
		w.steps = append(w.steps, x.asked(w.fixed))
	}
	for _, st := range w.steps {
		w.unknown = w.unknown || st.Outcome == FoundUnknown
	}
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
		case st.record != nil:
			return st, true
		}
	}
	return nil, true
}
