package postseal

import (
	"strings"
	"time"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/reason"
)

// EnforcePolicy is the default Policy: the published policy, lowered by the enforcement
// mode (RFC 9989 §5.4, §7.4, §8).
type EnforcePolicy struct {
	Mode      Enforce // Guarded unless it is one of the others
	OnError   OnError
	Protected []string // author domains whose failures count as corroborated
	// TrustedSealers are the ARC sealers that are believed.
	TrustedSealers []string
	SealAge        time.Duration // how old a seal may be that is believed; 0 is DefaultSealAge
	ReplyURL       string        // prefix of the page of a verdict, shown in replies; "" hides it
	// ReplyTag, if not nil, returns what is added to the reference in that URL after a hyphen, so
	// that the URL cannot be guessed from the reference; "" adds nothing.
	ReplyTag func(ref string) string
}

// Decide implements Policy.
func (p *EnforcePolicy) Decide(r *Report) Decision { return p.Enforce(r, p.Published(r)) }

// Enforce carries d.Action out as far as the mode allows, and makes the reply. A policy of
// one's own calls it with what Published says and local rules made of it.
func (p *EnforcePolicy) Enforce(r *Report, d Decision) Decision {
	d.Applied = d.Action
	p.enforce(r, &d)
	if d.Applied == Reject || d.Applied == Defer {
		d.Reply = makeReply(r, &d, p.page)
	}
	return d
}

// page returns the URL of the page of a verdict, "" if there is none.
func (p *EnforcePolicy) page(ref string) string {
	if p.ReplyURL == "" {
		return ""
	}
	url := strings.TrimSuffix(p.ReplyURL, "/") + "/" + ref
	if p.ReplyTag == nil {
		return url
	}
	if tag := p.ReplyTag(ref); tag != "" {
		url += "-" + tag
	}
	return url
}

// Published is what the policy of the Author Domain asks for, before the mode.
func (p *EnforcePolicy) Published(r *Report) Decision {
	switch {
	case r.Limit != "":
		return Decision{Action: Reject, Reason: MessageLimit}
	case r.Author.Reason != "":
		return Decision{Action: Reject, Reason: AuthorMalformed}
	}
	switch r.DMARC.Code {
	case dmarc.Pass:
		if len(AddedFields(r)) > 0 {
			return Decision{Action: Quarantine, Reason: FieldAdded}
		}
		return Decision{Action: Accept, Reason: DMARCPass}
	case dmarc.Fail:
		return failed(r)
	case dmarc.TempError:
		return Decision{Action: p.undecided(r), Reason: DMARCTempError}
	case dmarc.PermError:
		return Decision{Action: Accept, Reason: DMARCPermError}
	case dmarc.None:
		return Decision{Action: Accept, Reason: DMARCNone}
	}
	return Decision{Action: p.undecided(r), Reason: DMARCTempError} // not evaluated: unknown
}

func failed(r *Report) Decision {
	d := Decision{Action: Accept, Reason: DMARCPolicyNone}
	switch r.DMARC.Policy {
	case dmarc.PolicyQuarantine:
		d = Decision{Action: Quarantine, Reason: DMARCQuarantine}
	case dmarc.PolicyReject:
		d = Decision{Action: Reject, Reason: DMARCReject}
	}
	if r.DMARC.TestMode {
		d.Override = &Override{Type: PolicyTestMode, Comment: "t=y lowers the published policy by one level"}
	}
	return d
}

// undecided is the action when the DNS left the verdict open (RFC 9989 §5.3.6).
func (p *EnforcePolicy) undecided(r *Report) Action {
	switch p.OnError {
	case OnErrorAccept:
		return Accept
	case OnErrorDefer:
		return Defer
	}
	switch r.DMARC.Reason {
	case dmarc.IdentifierUnknown, dmarc.PolicyUnknown: // of which the policy that was seen last is known
		if r.DMARC.Policy.Strength() > 0 {
			return Defer
		}
	case dmarc.ExistenceUnknown: // it fails, and sp or np is above none
		return Defer
	}
	return Accept
}

// enforce sets Applied and says why it differs from Action.
func (p *EnforcePolicy) enforce(r *Report, d *Decision) {
	if comment, ok := sealedPass(r, p.TrustedSealers, p.SealAge); ok && isVerdictOfPolicy(d.Reason) {
		p.lower(d, Accept, LocalPolicy, comment)
		return
	}
	if comment, ok := relayPass(r); ok && isVerdictOfPolicy(d.Reason) {
		p.lower(d, Accept, TrustedForwarder, comment)
		return
	}
	if r.from != nil && r.from.late.beyond {
		return // fields that claim to be ours would arrive (RFC 8601 §5)
	}
	switch p.Mode {
	case Observe:
		p.lower(d, Accept, LocalPolicy, "observe: nothing is acted upon")
	case EnforceQuarantine:
		if d.Action == Reject && d.Reason != MessageLimit {
			p.lower(d, Quarantine, LocalPolicy, "enforce=quarantine: never above quarantine")
		}
	case Strict:
	default:
		p.guard(r, d)
	}
}

// isVerdictOfPolicy tells what a trusted sealer may override: what DMARC says, never what is
// wrong with the message itself.
func isVerdictOfPolicy(r Reason) bool {
	return r == DMARCReject || r == DMARCQuarantine || r == DMARCTempError
}

func (p *EnforcePolicy) lower(d *Decision, to Action, t OverrideType, comment string) {
	if d.Action == to || d.Action == Accept {
		return
	}
	d.Applied, d.Override = to, &Override{Type: t, Comment: comment}
}

// guard lowers reject to quarantine unless the failure is corroborated and nothing speaks for a
// list or a forwarder that is authenticated. Anyone can authenticate their own domain, so this
// never leads to accept.
func (p *EnforcePolicy) guard(r *Report, d *Decision) {
	if d.Reason != DMARCReject {
		return
	}
	if traits := IndirectFlow(r); len(traits) > 0 {
		p.lower(d, Quarantine, MailingList, "guarded: indirect flow: "+reason.Signals(traits))
		return
	}
	if len(Corroboration(r, p.Protected)) == 0 {
		p.lower(d, Quarantine, LocalPolicy, "guarded: nothing corroborates the failure (RFC 9989 §7.4)")
	}
}

// SameOrganization reports whether the domain name belongs to the organization of an author: it
// is within the Organizational Domain that DMARC found (RFC 9989 §4.10.2), or the public suffix
// list puts both under one registrable domain. It asks no DNS, so a subdomain that declares
// itself another organization is not noticed. A name that is not a domain belongs to none.
func (r *Report) SameOrganization(name string) bool {
	d, err := domain.Parse(name)
	if err != nil {
		return false
	}
	for _, author := range r.Author.Domains {
		if d.Within(author) || d.Registrable() == author.Registrable() {
			return true
		}
	}
	return r.DMARC.OrgDomain != "" && d.Within(domain.Name(r.DMARC.OrgDomain))
}
