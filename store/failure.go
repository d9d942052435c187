package store

import (
	"errors"
	"time"
)

// FailureReport is a report about one message (RFC 9991) on its way to one address.
type FailureReport struct {
	Delivery         // its URI is told apart from those of aggregate reports
	Asked     string // the URI of the policy that asks for it
	MadeAt    int64  // milliseconds since 1970
	Ref       string // of the verdict
	Type      string // of the failure, as in Auth-Failure
	Incidents int64  // like failures that it stands for
	Body      []byte // the mail without its signature; nil once it was sent or given up
}

// FailureLimit bounds failure reports about a domain (RFC 9991 §8.1).
type FailureLimit struct {
	Domain  string
	Kind    string        // what makes failures alike
	At      int64         // now, in milliseconds since 1970
	Most    int           // on the day of At
	Every   time.Duration // within which one of this kind is enough
	Waiting int           // of all domains that may wait
}

// ErrFull reports that too many failure reports wait.
var ErrFull = errors.New("too many failure reports wait")
