package postseal

import (
	"bytes"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/canonical"
	"postseal/internal/core/domain"
	"postseal/message"
	"postseal/spf"
)

// onceFields may be there once and are shown to readers, or tell how the body is shown (RFC
// 5322 §3.6, 2045 §5).
var onceFields = []string{"subject", "date", "to", "cc", "reply-to", "sender", "content-type"}

// OnceFields returns the names of the fields that AddedFields looks at, in lower case.
func OnceFields() []string { return slices.Clone(onceFields) }

// AddedFields lists the fields that a signature covers and that are there again without
// being covered, when nothing but such signatures makes DMARC pass: somebody may have put
// them above a message that another signed (RFC 6376 §8.15). Copies that are equal after
// canonicalization add nothing. From is the author's matter.
func AddedFields(r *Report) []string {
	for _, a := range r.DMARC.Aligned {
		if a.Method != "dkim" {
			return nil
		}
	}
	var added []string
	for i := range r.DKIM {
		s := &r.DKIM[i]
		if s.Result != dkim.Pass || !slices.ContainsFunc(r.DMARC.Aligned, func(a dmarc.Identifier) bool { return a.Domain == s.Domain }) {
			continue
		}
		uncovered := notCovered(r.header, s.SignedFields)
		if len(uncovered) == 0 {
			return nil
		}
		added = uncovered
	}
	return added
}

func notCovered(h *message.Header, signed []string) []string {
	var names []string
	for _, name := range onceFields {
		covered := 0
		for _, s := range signed {
			if strings.EqualFold(s, name) {
				covered++
			}
		}
		if covered > 0 && h.Count(name) > covered && !areCopies(h, name) {
			names = append(names, name)
		}
	}
	return names
}

// areCopies reports whether all fields of this name are equal after relaxed canonicalization
// (RFC 6376 §3.4.2): whichever one a reader shows, it is what was signed.
func areCopies(h *message.Header, name string) bool {
	var first, other []byte
	for i := range h.Len() {
		f := h.At(i)
		if !f.Is(name) {
			continue
		}
		if first == nil {
			first = canonical.Relaxed(nil, f)
			continue
		}
		if other = canonical.Relaxed(other[:0], f); !bytes.Equal(first, other) {
			return false
		}
	}
	return true
}

// Corroboration lists the evidence beside the published policy that a DMARC failure is a
// forgery (RFC 9989 §7.4: "other knowledge and analysis").
func Corroboration(r *Report, protected []string) []string {
	var signals []string
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Fail && r.SameOrganization(r.SPF[0].Domain) {
		signals = append(signals, "SPF fail of the author's own domain")
	}
	if !signedByAuthor(r) {
		signals = append(signals, "no signature of the author's organization")
	}
	if r.DMARC.NoSuchDomain {
		signals = append(signals, "the author domain does not exist")
	}
	if r.IPRev != nil && r.IPRev.Result == IPRevFail {
		signals = append(signals, "reverse DNS of the client does not match")
	}
	if r.NoMail != "" {
		signals = append(signals, "the author domain takes no mail: "+string(r.NoMail))
	}
	for _, p := range protected {
		name, err := domain.Parse(p)
		if err == nil && authorWithin(r, name) {
			signals = append(signals, "protected domain")
			break
		}
	}
	return signals
}

func signedByAuthor(r *Report) bool {
	for _, s := range r.DKIM {
		if r.SameOrganization(s.Domain) {
			return true
		}
	}
	return false
}

func authorWithin(r *Report, name domain.Name) bool {
	for _, a := range r.Author.Domains {
		if a.Within(name) {
			return true
		}
	}
	return false
}
