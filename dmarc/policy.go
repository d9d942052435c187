package dmarc

// Policy is a Domain Owner Assessment Policy (RFC 9989 §3.2.8). The zero value is not a policy
// at all.
type Policy string

// The policies of RFC 9989 §4.7, tag p.
const (
	PolicyNone       Policy = "none"
	PolicyQuarantine Policy = "quarantine"
	PolicyReject     Policy = "reject"
)

// Strength orders policies: 0 for no policy and for none, then quarantine, then reject.
func (p Policy) Strength() int {
	switch p {
	case PolicyQuarantine:
		return 1
	case PolicyReject:
		return 2
	}
	return 0
}

// Published holds the tags of a record that reports and displays show, defaults filled
// in; an absent sp or np is empty.
type Published struct{ P, SP, NP, T, PSD, ADKIM, ASPF string }
