package dmarc_test

import (
	"slices"
	"strings"

	"postseal/dmarc"
	"postseal/internal/core/dmarcrecord"
)

// The slow reference: RFC 9989 §4.10 to §4.10.2 and §5.3.5 again, sentence by sentence, on
// worlds where every lookup succeeds. Only the parsing of a record is shared.
type slowWorld struct {
	records map[string][]string // texts by domain
	missing map[string]bool     // domains that do not exist
	suffix  string              // with the guard, the ICANN public suffix of all names
}

type slowFound struct {
	name   string
	record *dmarcrecord.Record
}

// slowWalk returns the valid records from the longest name to the shortest.
func (w *slowWorld) slowWalk(start string) (set []slowFound) {
	labels := strings.Split(start, ".")
	x := len(labels)
	next := labels[1:]
	if x >= 8 {
		next = labels[x-7:]
	}
	for target := labels; ; target, next = next, next[1:] {
		name := strings.Join(target, ".")
		var valid []*dmarcrecord.Record
		for _, text := range w.records[name] {
			if r, ok := dmarcrecord.Parse(text); ok {
				valid = append(valid, r)
			}
		}
		if len(valid) == 1 {
			set = append(set, slowFound{name, valid[0]})
			if valid[0].PSD == dmarcrecord.PSDYes || valid[0].PSD == dmarcrecord.PSDNo {
				return set
			}
		}
		if len(next) == 0 {
			return set
		}
	}
}

func slowTail(name string, labels int) string {
	all := strings.Split(name, ".")
	if labels > len(all) {
		return name
	}
	return strings.Join(all[len(all)-labels:], ".")
}

func count(name string) int { return len(strings.Split(name, ".")) }

func (w *slowWorld) org(start string) string {
	set, org := w.slowWalk(start), start
	if len(set) > 0 {
		org = set[len(set)-1].name
	}
	for _, f := range set {
		if f.record.PSD == dmarcrecord.PSDNo {
			org = f.name
			break
		}
		if f.record.PSD == dmarcrecord.PSDYes && f.name != start {
			org = slowTail(start, count(f.name)+1)
			break
		}
	}
	if w.suffix != "" && count(org) <= count(w.suffix) {
		return slowTail(start, count(w.suffix)+1)
	}
	return org
}

// policy returns the record that applies and the tag of its policy, before t.
func (w *slowWorld) policy(author string) (r *dmarcrecord.Record, p dmarcrecord.Policy) {
	set, org := w.slowWalk(author), w.org(author)
	for i := range set {
		f := &set[len(set)-1-i]
		if r == nil && (f.name == author || f.name == org) || f.name == author {
			r, p = f.record, f.record.P
		}
		if f.name == author {
			return r, p
		}
	}
	for _, f := range set {
		if r == nil && strings.HasSuffix(org, "."+f.name) {
			r = f.record
		}
	}
	if r == nil {
		return nil, ""
	}
	p = r.P
	if r.SP != "" {
		p = r.SP
	}
	if r.NP != "" && w.missing[author] {
		p = r.NP
	}
	return r, p
}

// slowOutcome is a verdict; a policy only with fail.
type slowOutcome struct {
	code   dmarc.Code
	policy dmarc.Policy
}

// evaluate decides; authenticated are identifiers without doubt.
func (w *slowWorld) evaluate(author string, authenticated []dmarc.Identifier) slowOutcome {
	r, p := w.policy(author)
	switch {
	case r == nil:
		return slowOutcome{code: dmarc.None}
	case !r.Usable():
		return slowOutcome{code: dmarc.PermError}
	}
	for _, id := range authenticated {
		mode := r.ADKIM
		if id.Method == "spf" {
			mode = r.ASPF
		}
		if id.Domain == author || mode == dmarcrecord.Relaxed && w.org(id.Domain) == w.org(author) {
			return slowOutcome{code: dmarc.Pass}
		}
	}
	if r.Published().P == "none" {
		p = dmarcrecord.PolicyNone
		if r.SP != "" || r.NP != "" { // not broken
			_, p = w.policy(author)
		}
	}
	if r.Test && p == dmarcrecord.PolicyReject {
		return slowOutcome{dmarc.Fail, dmarc.PolicyQuarantine}
	}
	if r.Test {
		p = dmarcrecord.PolicyNone
	}
	return slowOutcome{dmarc.Fail, dmarc.Policy(p)}
}

// completions are what an unknown lookup of a record may have held.
var completions = [][]string{
	nil,
	{"v=DMARC1; p=reject"},
	{"v=DMARC1; p=none; adkim=s; aspf=s"},
	{"v=DMARC1; p=reject; psd=y"},
	{"v=DMARC1; p=quarantine; psd=n"},
	{"v=DMARC1; p=bogus"},
	{"v=DMARC1; psd=y"},
	{"v=DMARC1; psd=n"},
	{"v=DMARC1; p=reject", "v=DMARC1; p=reject"},
}

// slowCase is a world with holes.
type slowCase struct {
	world         slowWorld
	unknown       []string // domains whose record lookup fails
	unknownAuthor bool     // the lookup of the author domain itself fails
	author        string
	ids           []dmarc.Identifier
}

// each calls f for every world without holes, with what is authenticated in it.
func (c *slowCase) each(f func(w *slowWorld, authenticated []dmarc.Identifier)) {
	var fill func(unknown []string)
	fill = func(unknown []string) {
		if len(unknown) > 0 {
			for _, texts := range completions {
				c.world.records[unknown[0]] = texts
				fill(unknown[1:])
			}
			delete(c.world.records, unknown[0])
			return
		}
		c.eachAuthenticated(nil, c.ids, func(authenticated []dmarc.Identifier) {
			if !c.unknownAuthor {
				f(&c.world, authenticated)
				return
			}
			c.world.missing[c.author] = false
			f(&c.world, authenticated)
			// An answer for _dmarc.author, whatever it says, proves that author exists.
			if c.world.missing[c.author] = len(c.world.records[c.author]) == 0; c.world.missing[c.author] {
				f(&c.world, authenticated)
			}
		})
	}
	fill(c.unknown)
}

func (c *slowCase) eachAuthenticated(done, rest []dmarc.Identifier, f func([]dmarc.Identifier)) {
	if len(rest) == 0 {
		f(done)
		return
	}
	c.eachAuthenticated(append(slices.Clone(done), rest[0]), rest[1:], f)
	if rest[0].Unknown {
		c.eachAuthenticated(done, rest[1:], f)
	}
}

// want is temperror exactly when two completions differ, with one exception: a pass needs
// an authenticated identifier whose Organizational Domain, and the author's, are the same
// in all of them, or that is the Author Domain. Where both move together the queries were
// required, and failed (RFC 9989 §5.3.6).
func (c *slowCase) want() slowOutcome {
	var outcomes []slowOutcome
	c.each(func(w *slowWorld, authenticated []dmarc.Identifier) {
		if o := w.evaluate(c.author, authenticated); !slices.Contains(outcomes, o) {
			outcomes = append(outcomes, o)
		}
	})
	if len(outcomes) != 1 {
		return slowOutcome{code: dmarc.TempError}
	}
	if outcomes[0].code == dmarc.Pass && !slices.ContainsFunc(c.ids, c.firm) {
		return slowOutcome{code: dmarc.TempError}
	}
	return outcomes[0]
}

// firm reports whether id alone makes a pass, with fixed Organizational Domains.
func (c *slowCase) firm(id dmarc.Identifier) bool {
	if id.Unknown {
		return false
	}
	orgs := map[string]bool{}
	passes := true
	c.each(func(w *slowWorld, _ []dmarc.Identifier) {
		orgs[w.org(c.author)], orgs[w.org(id.Domain)] = true, true
		passes = passes && w.evaluate(c.author, []dmarc.Identifier{id}).code == dmarc.Pass
	})
	return passes && (id.Domain == c.author || len(orgs) == 1)
}
