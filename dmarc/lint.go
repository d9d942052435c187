package dmarc

import (
	"postseal/internal/core/dmarcrecord"
	"postseal/lint"
)

// Lint says what is wrong with the text of a record, or unwise in it, without asking the
// DNS. Receivers ignore most errors silently (RFC 9989 §4.8), which is why they are told
// here.
func Lint(text string) []lint.Problem { return dmarcrecord.Lint(text) }
