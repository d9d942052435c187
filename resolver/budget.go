package resolver

import "time"

// Budget bounds the questions of one check. Zero fields take the defaults.
type Budget struct {
	Queries int // distinct questions
	Bytes   int // octets that the records of all answers take in memory
}

// The defaults of Budget, for all checks of a message together.
const (
	DefaultQueries = 150
	DefaultBytes   = 384 << 10
)

// Exchange is one question of a transaction and what came of it.
type Exchange struct {
	Name   string
	Type   Type
	Answer Answer
	Err    error
	Took   time.Duration
	Began  time.Duration // since the transaction began
	Cached bool          // the answer was there at once
}
