package postseal

import (
	"strings"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/smtpreply"
	"postseal/spf"
)

// maxOutside bounds each piece of outside text in a reply line, of which there are four at
// most: with it a line stays below 512 octets (RFC 5321 §4.5.3.1.5). maxURL bounds our own
// address.
const (
	maxOutside = 80
	maxURL     = 300
)

// makeReply says who asked, what failed and where to read more, in three short lines
// (RFC 9989 §7.2, RFC 7372).
func makeReply(r *Report, d *Decision, url string) *Reply {
	reply := &Reply{}
	switch d.Reason {
	case MessageLimit:
		reply.Code, reply.Enhanced = 552, "5.3.4"
		reply.Lines = []string{"The header of this message is too large: " + smtpreply.Clean(string(r.limit), maxOutside)}
	case AuthorMalformed:
		reply.Code, reply.Enhanced = 550, "5.7.1"
		reply.Lines = []string{"A message needs one From field with a valid address: " + smtpreply.Clean(string(r.Author.Reason), maxOutside)}
	case DMARCTempError:
		reply.Code, reply.Enhanced = 451, "4.4.3"
		why := "DNS trouble"
		if len(r.SPF) == 0 && r.DMARC.Reason == dmarc.IdentifierUnknown {
			why = missingInput(r) + " is not known"
		}
		reply.Lines = []string{"DMARC of " + author(r) + " cannot be evaluated now: " + why + ".", failureLine(r)}
	case LocalRule:
		reply.Code, reply.Enhanced = 550, "5.7.1"
		reply.Lines = []string{"A local rule of the receiver refuses this message."}
		if d.Applied == Defer {
			reply.Code, reply.Enhanced = 451, "4.7.1"
			reply.Lines = []string{"A local rule of the receiver asks to send this message again later."}
		}
	default:
		reply.Code, reply.Enhanced = 550, rejectCode(r)
		reply.Lines = []string{author(r) + " asks receivers to refuse this message (DMARC p=" + string(r.DMARC.Policy) + ").", failureLine(r)}
	}
	last := "Ref " + r.Ref
	if url != "" {
		last = "Details for postmasters: " + smtpreply.Clean(strings.TrimSuffix(url, "/"), maxURL) + "/" + r.Ref
	}
	reply.Lines = append(reply.Lines, last)
	return reply
}

func author(r *Report) string {
	name := r.DMARC.AuthorDomain
	if name == "" && len(r.Author.Domains) > 0 {
		name = string(r.Author.Domains[0])
	}
	return smtpreply.Clean(name, maxOutside)
}

// rejectCode is 5.7.26 when neither SPF nor DKIM gave a pass (RFC 7372 §3.3), 5.7.1 when
// something passed without being aligned.
func rejectCode(r *Report) string {
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass {
		return "5.7.1"
	}
	for _, s := range r.DKIM {
		if s.Result == dkim.Pass {
			return "5.7.1"
		}
	}
	return "5.7.26"
}

func failureLine(r *Report) string {
	parts := make([]string, 0, 3)
	if len(r.SPF) > 0 {
		s := r.SPF[0]
		if s.Code == spf.Pass {
			parts = append(parts, "SPF: "+smtpreply.Clean(s.Domain, maxOutside)+" is not "+author(r)+".")
		} else {
			parts = append(parts, "SPF: "+resultFor(string(s.Code), s.Domain)+".")
		}
	}
	parts = append(parts, "DKIM: "+dkimFailure(r)+".")
	if ip := r.RemoteIP(); ip.IsValid() {
		parts = append(parts, "From "+ip.String()+".")
	}
	return strings.Join(parts, " ")
}

func dkimFailure(r *Report) string {
	if len(r.DKIM) == 0 {
		return "no signature"
	}
	for _, s := range r.DKIM {
		if r.SameOrganization(s.Domain) && s.Result != dkim.Pass {
			return resultFor(string(s.Result), s.Domain)
		}
	}
	s := r.DKIM[0]
	if s.Result == dkim.Pass {
		return smtpreply.Clean(s.Domain, maxOutside) + " is not " + author(r)
	}
	return resultFor(string(s.Result), s.Domain)
}

// resultFor names the domain where there is one: a HELO may be missing, or a d=.
func resultFor(result, domain string) string {
	if domain == "" {
		return result
	}
	return result + " for " + smtpreply.Clean(domain, maxOutside)
}
