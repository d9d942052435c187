package replay

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/authres"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/app/received"
	"postseal/internal/core/middleware"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Looks is a guess at who sent a message that a policy does not accept.
type Looks string

// The guesses. Legitimate needs proof: the author's signature verifies after a list's change is
// undone, or a chain of the hosts that handled it passes. List fields alone prove nothing.
const (
	Legitimate Looks = "legitimate"
	Forged     Looks = "forged"
	Unclear    Looks = "unclear"
)

// Record is what replay knows about a message in addition to its report.
type Record struct {
	Policies Decisions `json:"policies"`
	Replay   Facts     `json:"replay"`
}

// Facts are about one message.
type Facts struct {
	Received  time.Time `json:"received"`  // the time of the verdict
	Was       Was       `json:"was"`       // what was done to it
	Sender    string    `json:"sender"`    // the list, or the network of the client
	Author    string    `json:"author"`    // the author domain
	Evidence  []string  `json:"evidence"`  // what speaks for or against it
	Looks     Looks     `json:"looks"`     // a guess at who sent it
	Undecided string    `json:"undecided"` // why today's DNS cannot decide it; "" if it can
}

// Was is what was done to a message when it arrived, and how we know.
type Was struct {
	Action postseal.Action `json:"action"`
	Source string          `json:"source"` // a header field, or "delivered"
}

// record applies each policy and collects the facts.
func (o *Options) record(r *postseal.Report, h *message.Header, d *received.Delivery) *Record {
	record := new(Record)
	for _, p := range o.Policies {
		record.Policies = append(record.Policies, Decided{p.Name, p.Policy.Decide(r)})
	}
	own := o.ownResults(h)
	record.Replay = Facts{Received: d.Time.UTC(), Was: was(h, own), Author: Author(r), Sender: Sender(r), Evidence: evidence(r),
		Looks: looks(r), Undecided: undecided(r, own)}
	return record
}

// FactsOf returns the facts of a verdict that was evaluated again from its evidence.
func FactsOf(r *postseal.Report) Facts {
	return Facts{Received: r.Time.UTC(), Author: Author(r), Sender: Sender(r), Evidence: evidence(r), Looks: looks(r)}
}

// ownResults returns our own topmost Authentication-Results field; nil if there is none.
func (o *Options) ownResults(h *message.Header) *authres.Field {
	for i := range h.Len() {
		if f := h.At(i); f.Is("Authentication-Results") {
			parsed, _ := authres.Parse(f.Value())
			for _, id := range []string{o.AuthservID, o.ReceivedBy} {
				if id != "" && strings.EqualFold(strings.TrimSuffix(parsed.AuthservID, "."), strings.TrimSuffix(id, ".")) {
					return &parsed
				}
			}
		}
	}
	return nil
}

// was reads what was done. A message in a mailbox was not rejected.
func was(h *message.Header, own *authres.Field) Was {
	if i := h.Index("X-Postseal-Verdict"); i >= 0 {
		word, _, _ := strings.Cut(string(h.At(i).Value()), ";")
		switch a := postseal.Action(strings.TrimSpace(word)); a {
		case postseal.Accept, postseal.Quarantine:
			return Was{a, "X-Postseal-Verdict"}
		}
	}
	if own != nil {
		for _, r := range own.Results {
			if r.Method == "dmarc" {
				return Was{disposition(&r), "Authentication-Results"}
			}
		}
	}
	return Was{postseal.Accept, "delivered"}
}

// disposition returns the disposition in a DMARC result: in a policy property, as in ours, or
// in the comment "dis=quarantine" of OpenDMARC and Gmail.
func disposition(r *authres.Result) postseal.Action {
	for _, p := range r.Properties {
		if p.Type == "policy" && p.Name == "applied-disposition" && strings.EqualFold(p.Value, "quarantine") {
			return postseal.Quarantine
		}
	}
	for _, word := range strings.Fields(strings.ToLower(r.Comment)) {
		if word == "dis=quarantine" {
			return postseal.Quarantine
		}
	}
	return postseal.Accept
}

// Author returns the author domain of a message, for people.
func Author(r *postseal.Report) string {
	if len(r.Author.Domains) == 0 {
		return "(no author domain)"
	}
	return string(r.Author.Domains[0])
}

// Sender returns the list that a message came through, or the network of its client.
func Sender(r *postseal.Report) string {
	if id := listID(r.Header); id != "" {
		return id
	}
	ip := r.RemoteIP()
	bits := 24
	switch {
	case !ip.IsValid():
		return "(unknown client)"
	case ip.Is6():
		bits = 48
	}
	var text [48]byte
	return string(netip.PrefixFrom(ip, bits).Masked().AppendTo(text[:0]))
}

// listID returns the identifier of the List-Id field (RFC 2919 §3), limited in length.
func listID(h *message.Header) string {
	const longest = 128
	i := h.Index("List-Id")
	if i < 0 {
		return ""
	}
	id := string(h.At(i).Value())
	if open, end := strings.LastIndexByte(id, '<'), strings.LastIndexByte(id, '>'); open >= 0 && end > open {
		id = id[open+1 : end]
	}
	id = strings.ToLower(strings.Join(strings.Fields(id), " "))
	if id == "" {
		return "(list)"
	}
	return id[:min(len(id), longest)]
}

// evidence describes the evidence in a few words of a closed set, which are appended to words.
func evidence(r *postseal.Report) []string {
	var words []string
	if r.Author.Reason != "" {
		words = append(words, "no single author")
	}
	if r.Header.Index("List-Id") >= 0 {
		words = append(words, "List-Id")
	}
	if r.ARC.Code != arc.None {
		words = append(words, "ARC "+string(r.ARC.Code))
	}
	words = append(words, dkimEvidence(r))
	if len(r.SPF) > 0 {
		word := "SPF " + string(r.SPF[0].Code)
		if r.SPF[0].Code == spf.Pass && !r.SameOrganization(r.SPF[0].Domain) {
			word += " of another domain"
		}
		words = append(words, word)
	}
	if r.DMARC.NoSuchDomain {
		words = append(words, "no such domain")
	}
	if r.IPRev != nil && r.IPRev.Code == postseal.IPRevFail {
		words = append(words, "reverse DNS fails")
	}
	return words
}

// dkimEvidence returns the best result of the author's own signatures.
func dkimEvidence(r *postseal.Report) string {
	word := "no DKIM"
	for _, s := range r.DKIM {
		switch own := r.SameOrganization(s.Domain); {
		case own && s.Code == dkim.Pass:
			return "DKIM pass"
		case own && s.Diagnosis.Cause != "" && s.Diagnosis.Cause != dkim.UnknownCause && s.Diagnosis.Cause != dkim.NotDiagnosable:
			return "DKIM broken: " + string(s.Diagnosis.Cause)
		case own:
			word = "DKIM " + string(s.Code)
		case word == "no DKIM" && s.Code == dkim.Pass:
			word = "DKIM of another domain"
		}
	}
	return word
}

// looks guesses.
func looks(r *postseal.Report) Looks {
	switch {
	case r.DMARC.Code == dmarc.Pass, r.ARCTrusted, intact(r), sealedList(r):
		return Legitimate
	case r.DMARC.Code != dmarc.Fail, len(postseal.IndirectFlow(r)) > 0:
		return Unclear
	case len(postseal.Corroboration(r, nil)) > 1:
		return Forged
	}
	return Unclear
}

// intact reports whether a signature of the author is proved to have been genuine.
func intact(r *postseal.Report) bool {
	return slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool { return s.Diagnosis.HeaderIntact && r.SameOrganization(s.Domain) })
}

// sealedList reports whether a list, according to its List-Id, sent the message itself, and its
// own ARC chain passes. Anyone can run a list, so this is only a hint.
func sealedList(r *postseal.Report) bool {
	list, err := domain.Parse(listID(r.Header))
	if err != nil || r.ARC.Code != arc.Pass || len(r.ARC.Sealers) == 0 || !sameName(list, r.ARC.Sealers[len(r.ARC.Sealers)-1].Domain) {
		return false
	}
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass && sameName(list, r.SPF[0].Domain) {
		return true
	}
	return slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool { return s.Code == dkim.Pass && sameName(list, s.Domain) })
}

func sameName(a domain.Name, b string) bool {
	if string(a) == b {
		return true
	}
	name, err := domain.Parse(b)
	return err == nil && a.Registrable() == name.Registrable()
}

// The reasons why a message is undecided.
const (
	keyGone    = "key gone from DNS since receipt"
	keyMissing = "key not in DNS today, and no record of it at receipt"
	noEnvelope = "SPF could decide it, and the archive does not say the envelope"
)

// undecided says why today's DNS leaves the original result open.
func undecided(r *postseal.Report, own *authres.Field) string {
	switch r.DMARC.Code {
	case dmarc.TempError:
		failed := middleware.Failure(r.Exchanges())
		switch {
		case failed != nil:
			return "DNS " + string(resolver.KindOf(failed.Err))
		case len(r.SPF) == 0 && r.DMARC.Reason == dmarc.IdentifierUnknown:
			return noEnvelope
		}
		return "DNS temporary error"
	case dmarc.Fail:
	default:
		return ""
	}
	for _, s := range r.DKIM {
		gone := s.Reason == dkim.KeyMissing || s.Reason == dkim.KeyRevoked || s.Diagnosis.Cause == dkim.KeyChanged
		switch {
		case !gone || !r.SameOrganization(s.Domain):
		case own == nil:
			return keyMissing
		case passedThen(own, s.Domain):
			return keyGone
		}
	}
	return ""
}

func passedThen(own *authres.Field, domain string) bool {
	for _, r := range own.Results {
		if r.Method != "dkim" || r.Value != "pass" {
			continue
		}
		for _, p := range r.Properties {
			if p.Type == "header" && p.Name == "d" && strings.EqualFold(p.Value, domain) ||
				p.Type == "header" && p.Name == "i" && strings.EqualFold(p.Value[strings.LastIndexByte(p.Value, '@')+1:], domain) {
				return true
			}
		}
	}
	return false
}

// brokenBody reports whether a signature fails only because of the body.
func brokenBody(r *postseal.Report) bool {
	return slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool {
		return s.Reason == dkim.BodyHashMismatch || s.Reason == dkim.LimitBeyondBody
	})
}

func passes(r *postseal.Report) (n int) {
	for _, s := range r.DKIM {
		if s.Code == dkim.Pass {
			n++
		}
	}
	return n
}
