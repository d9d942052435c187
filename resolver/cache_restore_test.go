package resolver_test

import (
	"context"
	"testing"
	"time"

	"postseal/resolver"
)

// answers is a resolver that answers with one text, or fails with down.
type answers struct {
	text string
	down bool
}

func (a *answers) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if a.down {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return resolver.Answer{Records: []resolver.RR{{Text: a.text}}, TTL: time.Minute}, nil
}

// TestCacheRestore: what was seen before a restart answers only while no name server does, for the
// grace since it was seen, marked, and never in place of what was seen since.
func TestCacheRestore(t *testing.T) {
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	next := &answers{text: "new", down: true}
	c := resolver.NewCache(next, resolver.CacheOptions{Stale: 24 * time.Hour, Now: func() time.Time { return now }})
	c.Restore("_DMARC.e.test.", []string{"old", "second"}, now.Add(-time.Hour))
	c.Restore("gone.test", []string{"old"}, now.Add(-25*time.Hour))
	c.Restore(string(make([]byte, 300)), []string{"old"}, now)
	c.Restore("none.test", nil, now)
	if n := c.Stats().Entries; n != 1 {
		t.Errorf("%d entries, want 1: those beyond the grace, without records or with a bad name are not kept", n)
	}
	look := func(what, want string, stale bool) {
		t.Helper()
		a, err := c.Lookup(t.Context(), "_dmarc.e.test", resolver.TXT)
		got := ""
		if len(a.Records) > 0 {
			got = a.Records[0].Text
		}
		if got != want || a.Stale != stale || (err == nil) != (want != "") {
			t.Errorf("%s: %q, stale %v, %v; want %q, stale %v", what, got, a.Stale, err, want, stale)
		}
	}
	look("down", "old", true)
	next.down = false
	look("up", "new", false)
	c.Restore("_dmarc.e.test", []string{"old"}, now)
	look("restored again", "new", false)
	next.down = true
	now = now.Add(time.Hour)
	look("down again", "new", true)
	now = now.Add(24 * time.Hour)
	look("beyond the grace", "", false)
}
