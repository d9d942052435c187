package cli

import (
	"fmt"
	"strings"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/domain"
	"postseal/internal/term"
	"postseal/resolver"
	"postseal/spf"
)

// The stories say in one line why a result is what it is. Outside words in them are not
// clean yet.

func actionTone(a postseal.Action) term.Tone {
	switch a {
	case postseal.Accept:
		return term.Good
	case postseal.Reject:
		return term.Bad
	}
	return term.Warn
}

func spfTone(c spf.Code) term.Tone {
	switch c {
	case spf.Pass:
		return term.Good
	case spf.Fail, spf.PermError:
		return term.Bad
	case spf.None:
		return term.Muted
	}
	return term.Warn
}

func dkimTone(r dkim.Result) term.Tone {
	switch r {
	case dkim.Pass:
		return term.Good
	case dkim.Fail, dkim.PermError:
		return term.Bad
	case dkim.None:
		return term.Muted
	}
	return term.Warn
}

func dmarcTone(d *dmarc.Result) term.Tone {
	switch d.Result {
	case dmarc.Pass:
		return term.Good
	case dmarc.Fail:
		if d.Policy.Strength() == 0 {
			return term.Warn
		}
		return term.Bad
	case dmarc.None:
		return term.Muted
	}
	return term.Warn
}

func spfStory(s spf.Result) string {
	where := ""
	if len(s.Path) > 0 {
		where = " in " + strings.Join(s.Path, " → ")
	}
	switch s.Reason {
	case spf.Match:
		return "matched " + s.Mechanism + where
	case spf.Default:
		return "no mechanism matched" + where + ": neutral by default"
	case spf.NoRecord:
		return "no SPF record is published"
	case spf.NoDomain:
		return orWord(s.Problem, "there is no domain to check")
	}
	text := orWord(s.Problem, string(s.Reason))
	if len(s.Path) > 1 {
		text += " (" + strings.Join(s.Path, " → ") + ")"
	}
	return text
}

// dkimStory returns what stands beside a signature and what below it.
func dkimStory(s *dkim.Signature) (beside, below string) {
	if s.Result == dkim.Pass {
		beside = s.Canonicalization + ", "
		switch {
		case s.CoveredAll:
			beside += "whole body signed"
		default:
			beside += fmt.Sprintf("only %d octets of the body signed", s.BodyLength)
		}
		if s.TestMode {
			below = "the key is in test mode (t=y)"
		}
		return beside, below
	}
	if s.Problem == "" {
		return string(s.Reason), ""
	}
	if len(s.Problem) > 45 {
		return strings.TrimPrefix(string(s.Reason), "dkim."), s.Problem
	}
	return s.Problem, ""
}

// publishedText shows the tags that matter, where they are not the default.
func publishedText(p dmarc.Published) string {
	if p.P == "" {
		return ""
	}
	tags := []string{"p=" + p.P}
	for _, t := range []struct{ name, value, plain string }{{"sp", p.SP, ""}, {"np", p.NP, ""}, {"t", p.T, "n"},
		{"psd", p.PSD, "u"}, {"adkim", p.ADKIM, ""}, {"aspf", p.ASPF, ""}} {
		if t.value != t.plain && t.value != "" {
			tags = append(tags, t.name+"="+t.value)
		}
	}
	return strings.Join(tags, " ")
}

// alignmentStory tells of each identifier how it relates to the Author Domain.
func alignmentStory(d *dmarc.Result, signatures []dkim.Signature) []string {
	var parts []string
	for i := range d.Compared {
		parts = append(parts, compared(d, &d.Compared[i]))
	}
	var lines []string
	if len(parts) > 0 {
		lines = append(lines, strings.Join(parts, " · "))
	}
	for i := range signatures {
		s := &signatures[i]
		if s.Result == dkim.Pass || s.Result == dkim.TempError || !related(s.Domain, d.AuthorDomain, d.OrgDomain) {
			continue
		}
		lines = append(lines, "dkim "+s.Domain+" is aligned but "+brokenWord(s))
	}
	if len(lines) == 0 && d.Result == dmarc.Fail {
		lines = append(lines, "nothing is authenticated that could align")
	}
	return lines
}

func compared(d *dmarc.Result, c *dmarc.Compared) string {
	sign := " ≠ "
	switch {
	case c.Alignment == dmarc.AlignmentYes && !c.Unknown:
		sign = " = "
	case c.Alignment == dmarc.AlignmentUnknown:
		return c.Method + " " + c.Domain + " may align: DNS trouble"
	case c.Alignment == dmarc.AlignmentYes:
		return c.Method + " " + c.Domain + " would align: DNS trouble"
	}
	text := c.Method + " " + c.Domain + sign + d.AuthorDomain
	if sign == " = " && c.Domain != d.AuthorDomain {
		text += " (relaxed)"
	}
	return text
}

func brokenWord(s *dkim.Signature) string {
	switch s.Result {
	case dkim.Fail:
		return "broken"
	case dkim.Policy:
		return "not accepted"
	}
	return "unusable"
}

// related reports whether a signature of name could align with the author.
func related(name, author, org string) bool {
	n, err := domain.Parse(name)
	if err != nil || author == "" {
		return false
	}
	a := domain.Name(author)
	return n.Within(a) || n.Registrable() == a.Registrable() || org != "" && n.Within(domain.Name(org))
}

// verdictStory says why the verdict is what it is.
func verdictStory(r *postseal.Report) string {
	d, m := &r.Decision, &r.DMARC
	lowered := ""
	if d.Action != d.Applied {
		lowered = "; " + string(d.Action) + " lowered to " + string(d.Applied)
	}
	author := orWord(m.AuthorDomain, "the author domain")
	switch d.Reason {
	case postseal.DMARCPass:
		return alignedMethods(m) + " for " + author
	case postseal.DMARCNone:
		if m.Reason == dmarc.NoAuthorDomain {
			return "there is no author domain to ask for a policy"
		}
		return author + " publishes no DMARC policy"
	case postseal.DMARCPolicyNone:
		return "DMARC fails, and the policy of " + author + " is none" + testMode(m)
	case postseal.DMARCQuarantine:
		return author + " asks to quarantine what fails DMARC" + testMode(m) + lowered
	case postseal.DMARCReject:
		text := author + " asks to reject what fails DMARC" + lowered
		if signals := postseal.Corroboration(r, nil); d.Applied == postseal.Reject && len(signals) > 0 {
			text += "; corroborated: " + strings.Join(signals, ", ")
		}
		return text
	case postseal.DMARCTempError:
		return "the DNS leaves open whether " + author + " passes" + lowered
	case postseal.DMARCPermError:
		return "the DMARC record of " + author + " cannot be applied"
	case postseal.AuthorMalformed:
		return authorStory(string(r.Author.Reason)) + lowered
	case postseal.MessageLimit:
		return "the header section is over a limit: " + string(r.Limit())
	}
	return string(d.Reason)
}

func testMode(m *dmarc.Result) string {
	if m.TestMode {
		return ", lowered by its test mode (t=y)"
	}
	return ""
}

func alignedMethods(m *dmarc.Result) string {
	var methods []string
	seen := map[string]bool{}
	for _, a := range m.Aligned {
		if !seen[a.Method] {
			seen[a.Method] = true
			methods = append(methods, strings.ToUpper(a.Method))
		}
	}
	if len(methods) == 1 {
		return methods[0] + " is aligned"
	}
	return strings.Join(methods, " and ") + " are aligned"
}

func authorStory(reason string) string {
	switch reason {
	case "message.NoFrom":
		return "there is no From field"
	case "message.MultipleFrom":
		return "there is more than one From field: readers differ on the author"
	case "message.MalformedFrom":
		return "the From field is malformed, or can be read in two ways"
	case "message.NoDomain":
		return "the author has no domain name"
	case "message.TooManyDomains":
		return "the From field names too many domains"
	case "message.BareLineEnd":
		return "the header section holds a CR or LF that ends no line"
	}
	return reason
}

// answerStory says what came of a DNS question.
func answerStory(e *resolver.Exchange) (term.Tone, string) {
	a := &e.Answer
	switch {
	case e.Err != nil:
		text := strings.ToUpper(string(resolver.KindOf(e.Err)))
		return term.Bad, text
	case a.NXDomain:
		return term.Muted, "NXDOMAIN" + secured(a.Security)
	case len(a.Records) == 0:
		return term.Muted, "NODATA" + secured(a.Security)
	}
	records := make([]string, 0, len(a.Records))
	for i := range a.Records {
		records = append(records, recordText(&a.Records[i], e.Type))
	}
	text := strings.Join(records, "  ")
	if a.Aliased(e.Name) {
		text = "alias " + a.Canonical + "  " + text
	}
	return term.Good, text + secured(a.Security)
}

func secured(s resolver.Security) string {
	if s == resolver.Secure {
		return "  [secure]"
	}
	return ""
}

func recordText(rr *resolver.RR, t resolver.Type) string {
	switch t {
	case resolver.TXT, resolver.SPF:
		return `"` + rr.Text + `"`
	case resolver.A, resolver.AAAA:
		return rr.Addr.String()
	case resolver.MX:
		return fmt.Sprintf("%d %s", rr.Preference, orWord(rr.Target, "."))
	case resolver.PTR, resolver.NS, resolver.CNAME:
		return orWord(rr.Target, ".")
	}
	return fmt.Sprintf("%x", rr.Data)
}
