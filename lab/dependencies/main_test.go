package main

import (
	"errors"
	"testing"
	"time"
)

// TestLastSign: the newest of the version in use, its update and, only where both are old, the last
// commit. What cannot be found out is an error, not an age.
func TestLastSign(t *testing.T) {
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	ago := func(years int) time.Time { return now.AddDate(-years, 0, -1) }
	away := errors.New("no network")
	for _, tt := range []struct {
		name      string
		used, new int // years ago; 0 for no update
		head      int
		err       error
		want      int
	}{
		{"a recent release", 1, 0, 0, away, 1},
		{"a recent update", 3, 1, 0, away, 1},
		{"a recent commit", 5, 3, 1, nil, 1},
		{"an old commit", 5, 3, 4, nil, 3},
		{"not known", 3, 0, 0, away, -1},
	} {
		m := module{Path: "m.test", Time: ago(tt.used)}
		if tt.new > 0 {
			m.Update = &module{Time: ago(tt.new)}
		}
		got, err := lastSign(m, now, func(...string) ([]module, error) { return []module{{Time: ago(tt.head)}}, tt.err })
		if (err != nil) != (tt.want < 0) || err == nil && !got.Equal(ago(tt.want)) {
			t.Errorf("%s: %v, %v, want %d years ago", tt.name, got, err, tt.want)
		}
	}
}
