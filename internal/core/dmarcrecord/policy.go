package dmarcrecord

// Policy is a dmarc.Policy; the zero value is not a policy at all.
type Policy string

// The policies of RFC 9989 §4.7, tag p.
const (
	PolicyNone       Policy = "none"
	PolicyQuarantine Policy = "quarantine"
	PolicyReject     Policy = "reject"
)
