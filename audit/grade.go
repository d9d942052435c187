package audit

import (
	"fmt"
	"slices"

	"postseal/resolver"
)

func (r *Report) has(id string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id })
}

// judge sorts the findings, most severe first, then in the order of the checks. It sets the
// grade: the worst cap of all findings, or none if an important check could not run, because a
// grade for half an audit could be wrong either way.
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
	r.Grade, r.GradeReason = "A", "no finding limits the grade"
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
