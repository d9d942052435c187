package view

import (
	"testing"
	"time"
)

// TestLag: how late a node is, in the unit that a person would choose.
func TestLag(t *testing.T) {
	for d, want := range map[time.Duration]string{300 * time.Millisecond: "300 ms", 1200 * time.Millisecond: "1.2 s", 22*time.Minute + 40*time.Second: "22 min", 3*time.Hour + time.Minute: "3 h"} {
		if got := lagOf(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
