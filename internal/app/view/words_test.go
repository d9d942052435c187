package view

import (
	"strings"
	"testing"

	"postseal"
	"postseal/message"
)

// TestExplainVerdict: every reason of a decision is told in words.
func TestExplainVerdict(t *testing.T) {
	for _, reason := range postseal.Reasons() {
		t.Run(string(reason), func(t *testing.T) {
			r := &postseal.Report{Decision: postseal.Decision{Reason: reason}}
			r.Author.Reason = message.MalformedFrom
			if text := explainVerdict(r); text == "" || strings.Contains(text, string(reason)) {
				t.Errorf("got %q", text)
			}
		})
	}
}
