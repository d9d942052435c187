package resolver

import "postseal/internal/core/dnsdata"

// answerBytes is what the records of a take in memory, an estimate.
func answerBytes(a *Answer) int {
	n := 0
	for i := range a.Records {
		rr := &a.Records[i]
		n += dnsdata.RecordBytes(rr.Text, len(rr.Strings), rr.Target, rr.Data)
	}
	return n
}
