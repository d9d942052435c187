package bench

import (
	"bytes"
	"testing"
)

// maxAllocations is what the engine may allocate for a message with one signature, beyond
// what its public-key operation does.
const maxAllocations = 25

// TestAllocations counts; a number of allocations, unlike a time, is the same on every
// machine.
func TestAllocations(t *testing.T) {
	v := warm(t)
	for _, s := range []shape{{"rsa", "relaxed", 10 << 10, 1}, {"rsa", "simple", 10 << 10, 1}, {"ed25519", "relaxed", 10 << 10, 1}} {
		msg := message(t, s)
		octets := bytes.NewReader(msg)
		least := testing.AllocsPerRun(20, floor(t, s, msg))
		got := testing.AllocsPerRun(20, func() {
			octets.Reset(msg)
			verify(t, v, octets)
		})
		if !raceEnabled && got > least+maxAllocations {
			t.Errorf("%s: %v allocations, of which %v are cryptography: at most %d of ours", s, got, least, maxAllocations)
		}
	}
}
