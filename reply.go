package postseal

import (
	"strings"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/reason"
	"postseal/internal/core/smtpreply"
	"postseal/spf"
)

// maxReplyLine is the most octets of text in a line of a reply, codes not counted: the bound of
// smtpreply.Milter. maxUntrusted bounds each piece of untrusted text in it, of which there are
// two at most. A longer reply URL is omitted, because half a URL helps no one.
const (
	maxReplyLine = 236
	maxUntrusted = 80
	maxURL       = 215
)

// makeReply says what happened, the facts, what the sender has to do, and the reference (RFC
// 9989 §7.2, RFC 7372). The words are those of package reason.
func makeReply(r *Report, d *Decision, page func(ref string) string) *Reply {
	reply := &Reply{Code: 550, Enhanced: "5.7.1"}
	why, lead := string(d.Reason), "Rejected: "
	var facts []string
	words := reason.Values{Author: author(r)}
	switch d.Reason {
	case MessageLimit:
		reply.Code, reply.Enhanced, why = 552, "5.3.4", string(r.Limit)
	case AuthorMalformed:
		why = string(r.Author.Reason)
	case DMARCTempError:
		reply.Code, reply.Enhanced, lead = 451, "4.4.3", "Not accepted yet: "
		facts = failures(r)
		if len(r.SPF) == 0 && r.DMARC.Reason == dmarc.IdentifierUnknown {
			words.Cause = missingInput(r) + " is not known"
		}
	case LocalRule:
		if d.Applied == Defer {
			reply.Code, reply.Enhanced, lead = 451, "4.7.1", "Not accepted yet: "
		}
	case LocalExempt: // it is open whether the message is exempt
		reply.Code, reply.Enhanced, lead = 451, "4.4.3", "Not accepted yet: "
	default:
		reply.Enhanced = rejectCode(r)
		facts = failures(r)
	}
	e, _ := reason.Of(why)
	if (d.Reason == LocalRule || d.Reason == LocalExempt) && d.Applied == Defer {
		e = reason.Delayed
	}
	reply.Lines = append([]string{lead + words.Fill(e.Text) + "."}, facts...)
	if e.Fix != "" {
		reply.Lines = append(reply.Lines, "Sender: "+words.Fill(e.Fix)+".")
	}
	reply.Lines = append(reply.Lines, reference(r, page(r.Ref)))
	return reply
}

// reference is the last line of a reply.
func reference(r *Report, url string) string {
	if url == "" || len(url) > maxURL {
		return "Ref " + r.Ref
	}
	return "Details: " + smtpreply.Clean(url, maxURL)
}

func author(r *Report) string {
	name := r.DMARC.AuthorDomain
	if name == "" && len(r.Author.Domains) > 0 {
		name = string(r.Author.Domains[0])
	}
	return smtpreply.Clean(name, maxUntrusted)
}

// rejectCode is 5.7.26 when neither SPF nor DKIM gave a pass (RFC 7372 §3.3), 5.7.1 when
// something passed without being aligned.
func rejectCode(r *Report) string {
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass {
		return "5.7.1"
	}
	for _, s := range r.DKIM {
		if s.Code == dkim.Pass {
			return "5.7.1"
		}
	}
	return "5.7.26"
}

// failures says what SPF and DKIM found, in lines of at most maxReplyLine.
func failures(r *Report) []string {
	var lines []string
	add := func(sentence string) {
		if n := len(lines) - 1; n >= 0 && !strings.Contains(lines[n], "does not match") && len(lines[n])+1+len(sentence) <= maxReplyLine {
			lines[n] += " " + sentence
			return
		}
		lines = append(lines, sentence)
	}
	if len(r.SPF) > 0 {
		add(failure(r, "SPF", string(r.SPF[0].Code), r.SPF[0].Domain))
	}
	add(dkimFailure(r))
	if ip := r.RemoteIP(); ip.IsValid() {
		add("Sent from " + ip.String() + ".")
	}
	return lines
}

func dkimFailure(r *Report) string {
	if len(r.DKIM) == 0 {
		return "DKIM: no signature."
	}
	s := &r.DKIM[0]
	for i := range r.DKIM {
		if r.SameOrganization(r.DKIM[i].Domain) && r.DKIM[i].Code != dkim.Pass {
			s = &r.DKIM[i]
			break
		}
	}
	return failure(r, "DKIM", string(s.Code), s.Domain)
}

// failure names the domain if there is one: a HELO may be missing, or a d=.
func failure(r *Report, method, result, domain string) string {
	name := smtpreply.Clean(domain, maxUntrusted)
	switch {
	case result == "pass":
		return method + " passed for " + name + ", which does not match " + author(r) + " in the From field."
	case domain == "":
		return method + ": " + result + "."
	}
	return method + ": " + result + " for " + name + "."
}
