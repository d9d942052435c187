package dmarcrecord

import (
	"iter"

	"postseal/domain"
)

// MaxLabels is the length from which the tree walk cuts a name short (RFC 9989 §4.10).
const MaxLabels = 8

// QueryName returns the name of the records of d (RFC 9989 §4.6).
func QueryName(d domain.Name) string { return "_dmarc." + string(d) }

// WalkNames yields the domains of a tree walk from start, longest first: at most eight (RFC
// 9989 §4.10 steps 1 to 7).
func WalkNames(start domain.Name) iter.Seq[domain.Name] {
	return func(yield func(domain.Name) bool) {
		next := start.Parent()
		if start.Labels() >= MaxLabels {
			next = start.Last(MaxLabels - 1)
		}
		for more := yield(start); more && next != ""; next = next.Parent() {
			more = yield(next)
		}
	}
}

// ListNames yields the domains of a discovery from start with a public suffix list: start itself and its
// Organizational Domain, which may be the same (RFC 7489 §6.6.3).
func ListNames(start domain.Name) iter.Seq[domain.Name] {
	return func(yield func(domain.Name) bool) {
		_ = yield(start) && yield(start.Registrable())
	}
}
