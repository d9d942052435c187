package inbox

import (
	"encoding/json"
	"fmt"
)

// LeastDays is how many days have to have reports before a policy can be published.
const LeastDays = 14

// The bounds of readiness.
const (
	mostFailing   = 1.0 // percent of the mail of known sources
	mostIndirect  = 1.0 // percent that lists and forwarders pass on, for reject
	mostUnknown   = 1.0 // percent of unknown sources
	leastOfSource = 95  // percent of a known source that pass
	minOfSource   = 10  // messages from which on a source counts alone
	maxBlockers   = 20
)

// ready says whether a policy can be published. Forged mail is what it is to refuse, so it
// does not count.
func (s *Summary) ready(policy string) Readiness {
	r := Readiness{Policy: policy, Blockers: []string{}, Arithmetic: []string{}}
	var by = map[string]*Counts{}
	for _, c := range Classes {
		by[c] = &Counts{}
	}
	for i := range s.Sources {
		x := &s.Sources[i]
		c := by[x.Class]
		c.Messages, c.DMARC = c.Messages+x.Messages, c.DMARC+x.DMARC
	}
	wanted := by[ClassKnown].Messages + by[ClassNew].Messages
	real := wanted + by[ClassList].Messages + by[ClassUnknown].Messages
	block := func(format string, args ...any) { r.Blockers = append(r.Blockers, fmt.Sprintf(format, args...)) }
	// named is how many of n are those of sources that block by themselves: what remains is judged.
	share := func(what string, n, named, of int64, most float64) {
		p := percent(n, of)
		r.Arithmetic = append(r.Arithmetic, fmt.Sprintf("%s: %d of %d messages = %.2f %% (at most %.0f %%)", what, n, of, p, most))
		if percent(n-named, of) > most {
			block("%s: %.2f %% of the messages would fail", what, p)
		}
	}
	if s.Days < LeastDays {
		block("there are reports of only %d of the %d days that are needed", s.Days, LeastDays)
	}
	if wanted == 0 {
		block("no known source sends mail")
		return r
	}
	named := int64(0)
	for i := range s.Sources {
		x := &s.Sources[i]
		if x.Ours() && x.Messages >= minOfSource && percent(x.DMARC, x.Messages) < leastOfSource && len(r.Blockers) < maxBlockers {
			block("%s: %d of %d messages pass; sign its mail with DKIM as the domain, or use a return path of the domain", x.Name, x.DMARC, x.Messages)
			named += x.Failing()
		}
	}
	share("failing mail of known sources", by[ClassKnown].Failing()+by[ClassNew].Failing(), named, wanted, mostFailing)
	share("failing mail of unknown sources", by[ClassUnknown].Failing(), 0, real, mostUnknown)
	if policy == "reject" {
		share("failing mail of lists and forwarders", by[ClassList].Failing(), 0, real, mostIndirect)
	}
	if x := s.regularForger(); x != nil {
		r.Arithmetic = append(r.Arithmetic, fmt.Sprintf("%s counts as forged: %d messages on %d of %d days; is it yours?", x.Name, x.Messages, x.Days, s.Days))
	}
	r.Ready = len(r.Blockers) == 0
	return r
}

// regularForger is the source of the most mail that counts as forged and comes like that of a server:
// on most days. One that its owner forgot to authorize looks the same.
func (s *Summary) regularForger() (most *SourceSum) {
	for i := range s.Sources {
		x := &s.Sources[i]
		if x.Class == ClassForged && !x.rest() && x.Chosen == "" && x.Days >= newFor && 2*x.Days >= s.Days && (most == nil || x.Messages > most.Messages) {
			most = x
		}
	}
	return most
}

func percent(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}

// policyIn is the policy that a report shows.
func policyIn(meta string) string {
	var x struct {
		Policy struct {
			P string `json:"p"`
		} `json:"policy"`
	}
	if json.Unmarshal([]byte(meta), &x) != nil {
		return ""
	}
	return x.Policy.P
}
