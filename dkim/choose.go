package dkim

import (
	"postseal/domain"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// readLate reads the signatures of the author's organization below the first maxParsed, so
// that no number of others hides them.
func (x *Verification) readLate(h *message.Header, author []domain.Name) {
	others := x.late[:0]
	for _, index := range x.late {
		if len(x.signatures) == 2*maxParsed || index >= h.Len() || !related(claimedSigner(h.At(index)), author) {
			others = append(others, index)
			continue
		}
		x.read(x.add(index), h.At(index))
	}
	x.late = others
}

// claimedSigner is the d= of a field, without a look at anything else; "" without one.
func claimedSigner(f message.Field) domain.Name {
	for t := range tagvalue.Split(string(f.Value())) {
		if t.Name == "d" {
			name, _ := domain.Parse(t.Value)
			return name
		}
	}
	return ""
}

// choose takes the signatures of the domains that are wanted, as far as left reaches.
func (x *Verification) choose(left *int, wanted func(*candidate) bool) {
	for i := range x.signatures {
		s := &x.signatures[i]
		if s.Code != "" || s.chosen || !wanted(s) {
			continue
		}
		if *left == 0 {
			s.end(Policy, TooManySignatures, "more signatures than are evaluated")
			continue
		}
		*left--
		s.chosen = true
	}
}

func related(d domain.Name, author []domain.Name) bool {
	for _, a := range author {
		if d == a || d.Registrable() == a.Registrable() {
			return true
		}
	}
	return false
}
