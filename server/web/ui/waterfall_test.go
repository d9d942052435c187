package ui

import (
	"testing"
	"time"

	"postseal/bundle"
)

// TestLifetime: a TTL is shown in the largest unit that it fills.
func TestLifetime(t *testing.T) {
	for ttl, want := range map[time.Duration]string{0: "", -time.Second: "", time.Second: "1\u00a0s", 59 * time.Second: "59\u00a0s", 5 * time.Minute: "5\u00a0min", 90 * time.Second: "1.5\u00a0min", time.Hour: "1\u00a0h", 36 * time.Hour: "1.5\u00a0d", 100 * time.Hour: "4.2\u00a0d"} {
		if got := lifetime(ttl); got != want {
			t.Errorf("%v: %q, want %q", ttl, got, want)
		}
	}
}

// TestWaterfallMarks: an answer that failed, was stale, or is proven says so.
func TestWaterfallMarks(t *testing.T) {
	w := newWaterfall([]Query{{Timing: bundle.Timing{Type: "TXT", Name: "a.test"}, TTL: time.Hour, Secure: true}, {Timing: bundle.Timing{Type: "A", Name: "b.test"}, Failed: "bogus"}, {Timing: bundle.Timing{Type: "A", Name: "c.test"}, Stale: true}})
	var got []string
	for _, r := range w.Rows {
		got = append(got, r.TTL)
		for _, m := range r.Marks {
			got = append(got, m.Tone+" "+m.Text)
		}
	}
	want := []string{"1\u00a0h", "none AD", "", "warn BOGUS", "", "warn stale"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %q, want %q", i, got[i], want[i])
		}
	}
}
