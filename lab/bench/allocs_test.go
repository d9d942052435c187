package bench

import (
	"bytes"
	"testing"

	"postseal/lab/bench/corpus"
)

// maxAllocations is what the engine may allocate for a message with one signature, beyond
// what its public-key operation does.
const maxAllocations = 145

// TestAllocations counts; a number of allocations, unlike a time, is the same on every
// machine.
func TestAllocations(t *testing.T) {
	v := warm(t)
	for _, s := range []shape{{Algorithm: "rsa", Canonical: "relaxed", Bytes: 10 << 10, Signed: 1}, {Algorithm: "rsa", Canonical: "simple", Bytes: 10 << 10, Signed: 1}, {Algorithm: "ed25519", Canonical: "relaxed", Bytes: 10 << 10, Signed: 1}} {
		msg := corpus.Message(s)
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
