package dmarc

import (
	"context"

	"postseal/domain"
)

// MaxAuthorDomains is the number of author domains that EvaluateAll evaluates.
const MaxAuthorDomains = 4

// EvaluateAll applies DMARC to each of several author domains and returns the result
// that counts (RFC 9989 §11.5): the failure with the strictest policy. Only if none fails
// with a policy above none do lookups that failed count, then other failures; a pass
// counts if all pass. That a domain cannot be looked up, which its owner can bring
// about, hides no failure of another one.
func (e *Evaluator) EvaluateAll(ctx context.Context, authors []domain.Name, ids []Identifier) Result {
	x := e.begin(ctx)
	if len(authors) == 0 {
		return x.evaluate("", nil)
	}
	n := min(len(authors), MaxAuthorDomains)
	for _, a := range authors[:n] {
		x.prefetchWalk(a)
	}
	worst := x.evaluate(authors[0], ids)
	for _, a := range authors[1:n] {
		if r := x.evaluate(a, ids); weight(&r) > weight(&worst) {
			worst = r
		}
	}
	if n < len(authors) && weight(&worst) < weightFail {
		worst.Code, worst.Reason, worst.Problem = PermError, TooManyAuthorDomains, "too many author domains"
		worst.Aligned = nil
	}
	return worst
}

const (
	weightPass = iota
	weightNone
	weightPermError
	weightFailNone
	weightTempError // and up to three more, by policy
	weightFail      = weightTempError + 5
)

// weight orders the results of several domains; the greatest counts.
func weight(r *Result) int {
	switch r.Code {
	case Fail:
		if n := r.Policy.Strength(); n > 0 {
			return weightFail + n
		}
		return weightFailNone
	case TempError:
		if r.Policy == "" {
			return weightTempError + 1 // any policy is possible
		}
		if n := r.Policy.Strength(); n > 0 {
			return weightTempError + 1 + n
		}
		return weightTempError
	case PermError:
		return weightPermError
	case None:
		return weightNone
	}
	return weightPass
}
