package dmarcrecord_test

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
)

// TestNames: the domains of each discovery, and those of a loop that stops early.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		names func(domain.Name) iter.Seq[domain.Name]
		start domain.Name
		want  string
	}{
		{"walk", dmarcrecord.WalkNames, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com"},
		{"walk of eight labels", dmarcrecord.WalkNames, "a.b.c.d.e.f.example.com", "a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com"},
		{"walk of nine labels (RFC 9989 §4.10)", dmarcrecord.WalkNames, "a.b.c.d.e.f.g.example.com", "a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com e.f.g.example.com f.g.example.com g.example.com example.com com"},
		{"list", dmarcrecord.ListNames, "a.mail.example.co.uk", "a.mail.example.co.uk example.co.uk"},
		{"list from the Organizational Domain", dmarcrecord.ListNames, "example.com", "example.com example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for n := range tt.names(tt.start) {
				got = append(got, string(n))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for n := range tt.names(tt.start) {
				if n != tt.start {
					t.Fatalf("the first is %s", n)
				}
				break
			}
		})
	}
	if got := slices.Collect(dmarcrecord.WalkNames("com")); len(got) != 1 {
		t.Errorf("walk of one label: %q", got)
	}
}
