package audit

import (
	"fmt"
	"slices"

	"postseal/resolver"
)

func (r *Report) has(id string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id })
}

// judge sorts the findings, the gravest first and those of one severity in the order of the
// checks, and gives the grade: the worst cap of all findings, or none when a check that
// matters could not run, since half an audit would flatter or slander.
func (r *Report) judge(missing bool) {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return b.Severity.Rank() - a.Severity.Rank() })
	for _, u := range r.Unchecked {
		if u.Grave {
			r.GradeReason = fmt.Sprintf("no grade: %s could not be checked (%s at %s)", u.Check, u.Kind, u.Name)
			if u.Kind == resolver.Missing {
				r.GradeReason = fmt.Sprintf("no grade: %s was not looked up, and %s needs it", u.Name, u.Check)
			}
			return
		}
	}
	if missing {
		r.GradeReason = "no grade: the domain does not exist"
		return
	}
	r.Grade, r.GradeReason = "A", "nothing found that weakens it"
	for _, f := range r.Findings {
		rule, _ := RuleOf(f.ID)
		if c := rule.BestGrade(); c > r.Grade {
			r.Grade, r.GradeReason = c, "capped by "+f.ID
		}
	}
	if r.has("spf.missing") && r.has("dmarc.missing") {
		r.Grade, r.GradeReason = "F", "neither SPF nor DMARC: anyone can send as this domain"
	}
}
