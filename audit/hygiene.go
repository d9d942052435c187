package audit

import (
	"strings"

	"postseal/resolver"
)

// hygiene finds what zone editors leave in records: quotes, backslashes, and letters that
// no record may hold.
func (r *run) hygiene(name string, a resolver.Answer, version string) {
	for _, rr := range a.Records {
		if !strings.Contains(strings.ToLower(rr.Text), version) {
			continue
		}
		at := Where{Name: name, Record: rr.Text}
		if i := strings.IndexAny(rr.Text, "\"\\"); i >= 0 {
			at.Offset = i
			r.find("txt.quotes", at, "a quote or backslash stands in the record itself", "")
		}
		for i := range len(rr.Text) {
			if c := rr.Text[i]; c > 0x7e || c < 0x20 && c != '\t' {
				at.Offset = i
				r.find("txt.non-ascii", at, "an octet beyond printable ASCII stands in the record", "")
				break
			}
		}
	}
}
