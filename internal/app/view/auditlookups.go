package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postseal/audit"
	"postseal/internal/app/term"
	"postseal/resolver"
)

// maxUnchecked limits the failed lookups that are listed without --verbose.
const maxUnchecked = 6

// unchecked lists lookups that failed; those that the grade needs come first.
func (v *auditView) unchecked() {
	list := slices.Clone(v.report.Unchecked)
	slices.SortStableFunc(list, func(a, b audit.Unchecked) int { return cmp.Compare(weight(a), weight(b)) })
	for i, u := range list {
		if i == maxUnchecked && !v.Verbose {
			v.line(" %s", v.Style.Dim(fmt.Sprintf("and %s more; --verbose lists them", Plural(len(list)-i, "lookup", "lookups"))))
			return
		}
		word := uncheckedWord(&u)
		for j, l := range wrap(v.clean(u.Check+": "+u.Name+": "+uncheckedReason(&u)), term.Width-len(word)-2) {
			if j > 0 {
				word = strings.Repeat(" ", len(word))
			}
			v.line(" %s %s", v.Style.Dim(word), l)
		}
	}
}

// uncheckedWord says what happened to a lookup that has no answer.
func uncheckedWord(u *audit.Unchecked) string {
	if u.Kind == resolver.Missing {
		return "not looked up"
	}
	return "could not check"
}

func weight(u audit.Unchecked) int {
	if u.Grave {
		return 0
	}
	return 1
}

func uncheckedReason(u *audit.Unchecked) string {
	if u.Kind == resolver.Missing {
		return "outside of the zones"
	}
	if u.Detail == "" {
		return string(u.Kind)
	}
	return u.Detail
}
