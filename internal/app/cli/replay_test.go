package cli

import (
	"strings"
	"testing"
	"time"
)

// TestSince: times before now, dates, and what is neither.
func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{"30d": "2026-10-26T12:00:00Z", "2w": "2026-11-11T12:00:00Z", "12h": "2026-11-25T00:00:00Z",
		"2026-11-02": "2026-11-02T00:00:00Z", "2026-11-02T08:30:00+01:00": "2026-11-02T07:30:00Z"} {
		if got, err := parseSince(s, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("parseSince(%q) = %v, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"d", "-1d", "1y", "yesterday", "99999d", "2026-13-01"} {
		if got, err := parseSince(s, now); err == nil || !strings.Contains(err.Error(), "is not a valid time") {
			t.Errorf("parseSince(%q) = %v, %v, want an error", s, got, err)
		}
	}
}
