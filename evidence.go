package postseal

import (
	"bytes"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/canonical"
	"postseal/internal/core/flow"
	"postseal/message"
	"postseal/spf"
)

// Signal is evidence besides the published policy, for or against a forgery. The set is
// closed.
type Signal string

// What IndirectFlow finds.
const (
	SignalListID          Signal = "list-id"          // a List-Id field (RFC 2919) that names the intermediary
	SignalListPost        Signal = "list-post"        // a List-Post field (RFC 2369)
	SignalPrecedence      Signal = "precedence"       // Precedence: list or bulk
	SignalSender          Signal = "sender"           // a Sender field (RFC 5322 §3.6.2) that names the intermediary
	SignalResent          Signal = "resent"           // Resent fields (RFC 5322 §3.6.6) that name the intermediary
	SignalCalendar        Signal = "calendar"         // an invitation, sent on in the name of its organizer (RFC 6047 §2.4)
	SignalReceived        Signal = "received"         // more than one Received field of hosts that are not ours, one of the intermediary
	SignalBrokenSignature Signal = "broken-signature" // a signature of the author's organization fails
	SignalARCPass         Signal = "arc-pass"         // an ARC chain of the intermediary passes
)

// What Corroboration finds.
const (
	SignalSPFFail      Signal = "spf-fail"            // SPF fails for the author's organization
	SignalNoSignature  Signal = "no-signature"        // no signature of the author's organization
	SignalNoSuchDomain Signal = "no-such-domain"      // the author domain does not exist
	SignalIPRevFail    Signal = "iprev-fail"          // reverse DNS of the client does not match
	SignalNullMX       Signal = "null-mx"             // the author domain has a null MX (RFC 7505)
	SignalNoMailHost   Signal = "neither-mx-nor-host" // the author domain has neither MX nor address (RFC 5321 §5.1)
	SignalProtected    Signal = "protected"           // the author domain is one of those that are protected
)

// AddedFields lists the fields that a signature covers and that occur again without being
// covered, if DMARC passes only because of such signatures: they may have been added above a
// message that someone else signed (RFC 6376 §8.15). Copies that are equal after
// canonicalization add nothing. From is checked as the author.
func AddedFields(r *Report) []string {
	for _, a := range r.DMARC.Aligned {
		if a.Method != "dkim" {
			return nil
		}
	}
	var added []string
	for i := range r.DKIM {
		s := &r.DKIM[i]
		if s.Code != dkim.Pass || !slices.ContainsFunc(r.DMARC.Aligned, func(a dmarc.Identifier) bool { return a.Domain == s.Domain }) {
			continue
		}
		uncovered := notCovered(r.Header, s.SignedFields)
		if len(uncovered) == 0 {
			return nil
		}
		added = uncovered
	}
	return added
}

func notCovered(h *message.Header, signed []string) []string {
	var names []string
	for _, name := range flow.OnceFields {
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

// Corroboration lists the evidence besides the published policy that a DMARC failure is a
// forgery (RFC 9989 §7.4: "other knowledge and analysis"). protected are author domains whose
// failures count as corroborated.
func Corroboration(r *Report, protected []string) []Signal {
	var signals []Signal
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Fail && r.SameOrganization(r.SPF[0].Domain) {
		signals = append(signals, SignalSPFFail)
	}
	if !signedByAuthor(r) {
		signals = append(signals, SignalNoSignature)
	}
	if r.DMARC.NoSuchDomain {
		signals = append(signals, SignalNoSuchDomain)
	}
	if r.IPRev != nil && r.IPRev.Code == IPRevFail {
		signals = append(signals, SignalIPRevFail)
	}
	if r.NoMail != "" {
		signals = append(signals, r.NoMail)
	}
	for _, p := range protected {
		name, err := domain.Parse(p)
		if err == nil && authorWithin(r, name) {
			signals = append(signals, SignalProtected)
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
