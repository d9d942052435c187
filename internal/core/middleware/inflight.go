package middleware

import "sync/atomic"

// An account asks no more than inFlight questions at a time, and no more than it has room for
// the answers of: each counts for inFlightBytes before it arrives. The others wait for their
// turn, without their own goroutine.
const (
	inFlight      = 8
	inFlightBytes = 4 << 10
)

// Once all accounts together have crowd questions in flight, which is more than any resolver is asked at a
// time, one that has crowdedInFlight starts no more: a goroutine that only waits for its turn takes memory,
// a part of which the runtime never returns.
const (
	crowd           = 4 * DefaultOutstanding
	crowdedInFlight = 2
)

// allInFlight is how many questions of all accounts of this process are in flight.
var allInFlight atomic.Int64

// mostInFlight is how many questions an account may have in flight now.
func mostInFlight() int {
	if allInFlight.Load() >= crowd {
		return crowdedInFlight
	}
	return inFlight
}
