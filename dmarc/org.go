package dmarc

import (
	"slices"

	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
)

// progress is how far the selection of an Organizational Domain has come (RFC 9989
// §4.10.2): the shortest name with a record so far, or the decision.
type progress struct {
	org     domain.Name
	stopped bool
}

// kind is what a step may hold, as far as the selection depends on it.
type kind uint8

const (
	noRecord kind = iota
	plain         // psd=u or none
	psdYes
	psdNo
)

var unknownKinds = [...]kind{noRecord, plain, psdYes, psdNo}

// kinds returns what the step holds; everything that is possible if that is unknown.
func (st *Step) kinds() []kind {
	switch {
	case st.Outcome == FoundUnknown:
		return unknownKinds[:]
	case st.record == nil:
		return unknownKinds[noRecord : noRecord+1]
	case st.record.PSD == dmarcrecord.PSDYes:
		return unknownKinds[psdYes : psdYes+1]
	case st.record.PSD == dmarcrecord.PSDNo:
		return unknownKinds[psdNo : psdNo+1]
	}
	return unknownKinds[plain : plain+1]
}

// after returns p after a step at name that holds k.
func (w *walk) after(p progress, name domain.Name, k kind) progress {
	if p.stopped || k == noRecord {
		return p
	}
	switch {
	case k == plain:
		return progress{org: name}
	case k == psdYes && name != w.start:
		return progress{org: w.start.Last(name.Labels() + 1), stopped: true}
	}
	return progress{org: name, stopped: true}
}

// end turns the last progress into the Organizational Domain, and applies the guard.
func (w *walk) end(p progress) (org domain.Name, guarded bool) {
	org = p.org
	if org == "" {
		org = w.start
	}
	if org == w.start || !w.guard {
		return org, false // no name above that of the author: there is nothing to guard
	}
	if least := floor(w.start); least != "" && org != least && least.Within(org) {
		return least, true
	}
	return org, false
}

// orgs appends to orgs, which is empty, the Organizational Domains that are possible: one,
// unless a step that matters is unknown. guarded tells that each of them is the guard's.
func (w *walk) orgs(orgs []domain.Name) (_ []domain.Name, guarded bool) {
	if w.fixed != "" {
		return append(orgs, w.fixed), false
	}
	guarded = true
	for _, p := range w.fold([]progress{{}}, w.steps) {
		org, g := w.end(p)
		if !slices.Contains(orgs, org) {
			orgs = append(orgs, org)
		}
		guarded = guarded && g
	}
	return orgs, guarded
}

// fold takes each possible progress through steps.
func (w *walk) fold(from []progress, steps []Step) []progress {
	for i := range steps {
		kinds := steps[i].kinds()
		if len(kinds) == 1 {
			for j := range from {
				from[j] = w.after(from[j], steps[i].Domain, kinds[0])
			}
			continue
		}
		var to []progress
		for _, p := range from {
			for _, k := range kinds {
				if q := w.after(p, steps[i].Domain, k); !slices.Contains(to, q) {
					to = append(to, q)
				}
			}
		}
		from = to
	}
	return from
}

// canShare reports whether some outcome of the unknown steps gives both walks the same
// Organizational Domain. Steps at the same name have the same outcome in both.
func canShare(a, b *walk) bool {
	na, nb := len(a.steps), len(b.steps)
	for na > 0 && nb > 0 && a.steps[na-1].Domain == b.steps[nb-1].Domain {
		na, nb = na-1, nb-1
	}
	pairs := make(map[pair]struct{})
	for _, p := range a.fold([]progress{{}}, a.steps[:na]) {
		for _, q := range b.fold([]progress{{}}, b.steps[:nb]) {
			pairs[pair{p, q}] = struct{}{}
		}
	}
	for i := na; i < len(a.steps); i++ {
		st, next := &a.steps[i], make(map[pair]struct{}, len(pairs))
		for p := range pairs {
			for _, k := range st.kinds() {
				next[pair{a.after(p.a, st.Domain, k), b.after(p.b, st.Domain, k)}] = struct{}{}
			}
		}
		pairs = next
	}
	for p := range pairs {
		x, _ := a.end(p.a)
		if y, _ := b.end(p.b); x == y {
			return true
		}
	}
	return false
}

type pair struct{ a, b progress }
