package tagvalue

import (
	"strings"
	"testing"
)

// TestControl: every octet at every place of a value is judged as the table has it.
func TestControl(t *testing.T) {
	for length := 1; length < 20; length++ {
		for at := range length {
			for c := range 256 {
				s := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("\xff", length-at-1)
				want := -1
				if forbidden[c] {
					want = at
				}
				if got := control(s); got != want {
					t.Fatalf("%q: %d, want %d", s, got, want)
				}
			}
		}
	}
}
