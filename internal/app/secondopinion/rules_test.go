package secondopinion

import (
	"regexp"
	"testing"
)

// TestRulesAreComplete: every known difference says which rule decides, for whom and why.
func TestRulesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	section := regexp.MustCompile(`^\d{4} §\d`)
	check := func(r Rule) {
		if seen[r.ID] || r.ID == "" || r.Why == "" || !section.MatchString(r.RFC) || r.Right != Ours && r.Right != Both {
			t.Errorf("incomplete, or twice: %+v", r)
		}
		seen[r.ID] = true
	}
	for _, c := range spfClasses {
		check(c.Rule)
	}
	for _, c := range dkimClasses {
		check(c.Rule)
	}
}
