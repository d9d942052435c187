package dmarc

import (
	"slices"

	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
)

// aligner compares identifiers with one Author Domain (RFC 9989 §4.4, §4.10.2).
type aligner struct {
	*evaluation
	author  *walk
	orgs    []domain.Name // possible Organizational Domains of the author
	record  *dmarcrecord.Record
	walked  int
	guarded bool
	problem string // why something is unknown
}

// compare looks at the identifiers of SPF first, and at those that are authenticated
// before those that may be, so that the limit on walks cuts off the least.
func (a *aligner) compare(ids []Identifier) []Compared {
	if len(ids) == 0 {
		return nil
	}
	list := make([]Compared, 0, len(ids))
	for _, id := range ids {
		list = append(list, Compared{Identifier: id, Alignment: AlignmentNo})
	}
	slices.SortStableFunc(list, func(x, y Compared) int { return rank(x.Identifier) - rank(y.Identifier) })
	names := make([]domain.Name, 0, len(ids))
	ahead := 0
	for i := range list {
		name, _ := domain.Parse(list[i].Domain) // no name at all aligns with nothing
		names = append(names, name)
		list[i].Alignment = a.first(list[i].Method, names[i])
		if list[i].Alignment != AlignmentUnknown || slices.Contains(names[:i], names[i]) {
			continue
		}
		if ahead < DefaultIdentifiers && a.author.fixed == "" {
			ahead++
			for n := range dmarcrecord.WalkNames(name) {
				a.prefetch(n)
			}
		}
	}
	for i := range list {
		if list[i].Alignment == AlignmentUnknown {
			a.relaxed(list[:i], &list[i], names[i])
		}
	}
	if a.problem == "" {
		a.problem = "an aligned identifier could not be checked"
	}
	return list
}

func rank(id Identifier) int {
	r := 0
	if id.Method != "spf" {
		r = 1
	}
	if id.Unknown {
		r += 2
	}
	return r
}

// first compares without a query: identical names are aligned; in strict mode no others
// are, in relaxed mode none outside the author's Organizational Domain. AlignmentUnknown
// means that it takes a walk.
func (a *aligner) first(method string, name domain.Name) Alignment {
	mode := a.record.ADKIM
	if method == "spf" {
		mode = a.record.ASPF
	}
	switch {
	case name == "":
		return AlignmentNo
	case name == a.author.start:
		return AlignmentYes
	case mode == dmarcrecord.Strict:
		return AlignmentNo
	}
	if slices.ContainsFunc(a.orgs, name.Within) {
		return AlignmentUnknown
	}
	return AlignmentNo
}

// relaxed compares Organizational Domains; before are the identifiers already compared.
func (a *aligner) relaxed(before []Compared, c *Compared, name domain.Name) {
	if a.author.fixed != "" { // RFC 7489 §3.1.1: the list knows, without a query
		org := name.Registrable()
		c.OrgDomain, c.Alignment = string(org), AlignmentNo
		if org == a.author.fixed {
			c.Alignment = AlignmentYes
		}
		return
	}
	for i := range before {
		// The mode may differ, but then only one of the two takes a walk.
		if before[i].Walk != nil && before[i].Walk[0].Domain == name {
			c.OrgDomain, c.Alignment, c.Walk = before[i].OrgDomain, before[i].Alignment, before[i].Walk
			return
		}
	}
	if a.walked == DefaultIdentifiers {
		c.Alignment = AlignmentNo // what the sender spent is not unknown
		return
	}
	a.walked++
	w := &walk{steps: make([]Step, 0, min(name.Labels(), dmarcrecord.MaxLabels))}
	a.walk(w, name)
	c.Walk = w.steps
	orgs, guarded := w.orgs(nil)
	a.guarded = a.guarded || guarded
	if len(orgs) == 1 {
		c.OrgDomain = string(orgs[0])
	}
	switch {
	case len(orgs) == 1 && len(a.orgs) == 1:
		c.Alignment = AlignmentNo
		if orgs[0] == a.orgs[0] {
			c.Alignment = AlignmentYes
		}
	case !canShare(a.author, w):
		c.Alignment = AlignmentNo
	case w.unknown:
		a.problem = w.failure()
	default:
		a.problem = a.author.failure()
	}
}
