package inbox

import (
	"context"
	"slices"

	"postseal/store"
)

// PolicySince is since when reports show a policy of the domain, or a stricter one, without a break.
type PolicySince struct {
	Policy string `json:"policy"`
	Since  string `json:"since"`  // the first UTC day
	Begins bool   `json:"begins"` // a report of a day before shows a milder policy; else it may be older
}

// policyDays is how far back AskPolicies looks: as long as records of reports are kept.
const policyDays = 400

// policies are those of DMARC, the mildest first.
var policies = []string{"none", "quarantine", "reject"}

// AskPolicies reads from the reports of each day since when the domain has its policy. The policy of a day is what the
// last report of it shows; a day of which no report tells is skipped.
func (s *Summary) AskPolicies(ctx context.Context, db store.Inbox) error {
	days, err := db.PolicyDays(ctx, s.Domain, policyDays)
	if err != nil {
		return err
	}
	since := make([]PolicySince, len(policies))
	for _, day := range days { // the newest first
		rank := slices.Index(policies, policyIn(day.Meta))
		if rank < 0 {
			continue
		}
		for k := range since {
			switch {
			case k <= rank && !since[k].Begins:
				since[k].Policy, since[k].Since = policies[k], day.Day.String()
			case k > rank:
				since[k].Begins = true
			}
		}
	}
	s.Policies = slices.DeleteFunc(since, func(x PolicySince) bool { return x.Policy == "" })
	return nil
}

// PolicyHeld returns what AskPolicies found of a policy. ok is false if the newest report shows a milder one.
func (s *Summary) PolicyHeld(policy string) (x PolicySince, ok bool) {
	i := slices.IndexFunc(s.Policies, func(x PolicySince) bool { return x.Policy == policy })
	if i < 0 {
		return x, false
	}
	return s.Policies[i], true
}

// Lost is how many messages of the domain's own senders were quarantined or rejected.
func (s *Summary) Lost() (n int64) {
	for i := range s.Sources {
		if x := &s.Sources[i]; x.Ours() {
			n += x.Quarantined + x.Rejected
		}
	}
	return n
}
