package postseal

import (
	"strings"

	"postseal/dmarc"
	"postseal/domain"
)

// missingSPF appends what SPF could have passed for. It was not evaluated, because the client
// address or the reverse-path is not known, and an input that is missing is unknown, not
// failed. Without a reverse-path, and without a HELO name for the null path, it could have
// been any domain.
func missingSPF(ids []dmarc.Identifier, r *Report) []dmarc.Identifier {
	name, known := r.ReversePath, !r.Conn.UnknownSender
	if known && name == "" {
		name, known = r.Helo, r.Helo != ""
	}
	if known {
		name = name[strings.LastIndexByte(name, '@')+1:]
		if _, err := domain.Parse(name); err != nil {
			return ids // SPF would be none (RFC 7208 §4.3)
		}
		return append(ids, dmarc.Identifier{Method: "spf", Domain: name, Unknown: true})
	}
	for _, author := range r.Author.Domains {
		ids = append(ids, dmarc.Identifier{Method: "spf", Domain: string(author), Unknown: true})
	}
	return ids
}

// explainMissing says in the problem of an undecided DMARC result which input is missing.
func explainMissing(r *Report) {
	if len(r.SPF) > 0 || r.DMARC.Reason != dmarc.IdentifierUnknown {
		return
	}
	for _, c := range r.DMARC.Compared {
		if c.Method != "spf" && c.Unknown && c.Alignment != dmarc.AlignmentNo {
			return // a signature is unknown too
		}
	}
	r.DMARC.Problem = "SPF could decide it, and " + missingInput(r) + " is not known"
}

// missingInput is the input that SPF lacks.
func missingInput(r *Report) string {
	if !r.RemoteIP().IsValid() {
		return "the client address"
	}
	return "the reverse-path (MAIL FROM)"
}
