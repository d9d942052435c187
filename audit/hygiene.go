package audit

import (
	"strings"

	"postseal/resolver"
)

// hygiene finds artifacts of zone editors in records: quotes, backslashes, and characters that
// are not allowed in any record.
func (r *run) hygiene(name string, a resolver.Answer, version string) {
	for _, rr := range a.Records {
		if !strings.Contains(strings.ToLower(rr.Text), version) {
			continue
		}
		at := Where{Name: name, Record: rr.Text}
		if i := strings.IndexAny(rr.Text, "\"\\"); i >= 0 {
			at.Offset = i
			r.find("txt.quotes", at, "the record itself contains a quote or backslash", "")
		}
		for i := range len(rr.Text) {
			if c := rr.Text[i]; c > 0x7e || c < 0x20 && c != '\t' {
				at.Offset = i
				r.find("txt.non-ascii", at, "the record contains an octet outside printable ASCII", "")
				break
			}
		}
	}
}
