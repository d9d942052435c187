package bundle

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTimings: timings are read as they were written, and what is not of their form is an error.
func TestTimings(t *testing.T) {
	list := []Timing{{"TXT", "lists.example.net", 0, 7100 * time.Microsecond, false}, {"A", "a b\x00\xff.test", time.Millisecond, 0, true}, {"PTR", "-- zone --", 3 * time.Hour, 1, false}}
	list[2].Took = time.Microsecond
	got, err := parseTimings(formatTimings(list))
	if err != nil || !slices.Equal(got, list) {
		t.Errorf("%v %v", got, err)
	}
	b, err := Parse([]byte("ref: X\n-- zone --\n-- envelope --\nip 192.0.2.1\n-- timings --\n" + formatTimings(list)))
	if err != nil || !slices.Equal(b.Timings, list) {
		t.Errorf("%v %v", b, err)
	}
	for _, text := range []string{"TXT a", "TXT a 1 x", "TXT a -1 2", "TXT a 1 2 warm", "TXT a 99999999999999 1", strings.Repeat("TXT a 1 2\n", maxTimings+1)} {
		if _, err := parseTimings(text); err == nil {
			t.Errorf("%.40q is taken", text)
		}
	}
}
