package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/explain"
	"postseal/internal/app/term"
	"postseal/internal/core/reason"
	"postseal/resolver"
	"postseal/spf"
)

// The functions below explain a result in one line. Untrusted text in it is not yet sanitized.

func actionTone(a postseal.Action) term.Tone {
	switch a {
	case postseal.Accept:
		return term.Good
	case postseal.Reject:
		return term.Bad
	}
	return term.Warn
}

// resultTone returns the tone of an SPF or DKIM result word (RFC 8601 §2.7).
func resultTone(word string) term.Tone {
	switch word {
	case "pass":
		return term.Good
	case "fail", "permerror":
		return term.Bad
	case "none":
		return term.Muted
	}
	return term.Warn
}

func dmarcTone(d *dmarc.Result) term.Tone {
	switch d.Code {
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

func explainSPF(s *spf.Result) string {
	where := ""
	if len(s.Path) > 1 {
		where = " in " + strings.Join(s.Path, " → ")
	}
	switch s.Reason {
	case spf.Match:
		if s.Mechanism == "all" {
			return "no other term matched; " + qualifiers[s.Code] + "all applies" + where
		}
		return "matched " + qualifiers[s.Code] + s.Mechanism + where
	case spf.Default:
		return reason.Text(s.Reason, reason.Values{}) + where
	case spf.NoRecord:
		return reason.Text(s.Reason, reason.Values{})
	}
	return cmp.Or(s.Problem, reason.Text(s.Reason, reason.Values{})) + where
}

// qualifiers are written as in a record (RFC 7208 §4.6.2).
var qualifiers = map[spf.Code]string{spf.Fail: "-", spf.SoftFail: "~", spf.Neutral: "?"}

// explainDKIM returns the text next to a signature.
func explainDKIM(s *dkim.Result) string {
	switch {
	case s.Code == dkim.Pass && s.CoveredAll:
		return s.Canonicalization + ", whole body"
	case s.Code == dkim.Pass:
		return fmt.Sprintf("%s, only %d bytes of the body", s.Canonicalization, s.BodyLength)
	case s.Reason == dkim.KeyUnavailable:
		return reason.Text(s.Reason, reason.Values{}) + ": " + s.Problem
	}
	return cmp.Or(s.Problem, reason.Text(s.Reason, reason.Values{}))
}

// explainARC names the sealers, the newest first.
func explainARC(a *arc.Result) string {
	var sealers []string
	for _, s := range slices.Backward(a.Sealers) {
		if s.Domain != "" && len(sealers) < 4 {
			sealers = append(sealers, s.Domain)
		}
	}
	text := fmt.Sprintf("i=%d", a.Instances)
	if len(sealers) > 0 {
		text += " sealed by " + strings.Join(sealers, ", ")
	}
	if len(a.Sealers) > 4 {
		text += ", …"
	}
	return text
}

// publishedText shows the important tags that differ from their defaults.
func publishedText(p dmarc.Published) string {
	if p.P == "" {
		return ""
	}
	tags := []string{"p=" + p.P}
	for _, t := range []struct{ name, value, plain string }{{"sp", p.SP, ""}, {"np", p.NP, ""}, {"t", p.T, "n"},
		{"psd", p.PSD, "u"}, {"adkim", p.ADKIM, "r"}, {"aspf", p.ASPF, "r"}} {
		if t.value != t.plain && t.value != "" {
			tags = append(tags, t.name+"="+t.value)
		}
	}
	return strings.Join(tags, " ")
}

// explainCompared explains for each identifier how it relates to the Author Domain. Equal ones
// are explained once.
func explainCompared(r *postseal.Report) []string {
	d := &r.DMARC
	var relations []string
	methods := map[string][]string{}
	for i := range d.Compared {
		c := &d.Compared[i]
		relation := compared(d, c, r.SPF)
		if !slices.Contains(relations, relation) {
			relations = append(relations, relation)
		}
		if !slices.Contains(methods[relation], c.Method) {
			methods[relation] = append(methods[relation], c.Method)
		}
	}
	for i, r := range relations {
		relations[i] = strings.Join(methods[r], " and ") + " " + r
	}
	return relations
}

// explainBroken describes the signatures that would align if they verified.
func explainBroken(r *postseal.Report) []string {
	var list []string
	for _, s := range explain.Broken(r) {
		if text := "dkim " + s.Domain + " is aligned but " + brokenWord(s); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// compared explains the relation of one identifier, without its method.
func compared(d *dmarc.Result, c *dmarc.Compared, identities []spf.Result) string {
	switch {
	case c.Alignment == dmarc.AlignmentUnknown:
		return c.Domain + " may align: " + explain.WhyUnknown(c, identities)
	case c.Alignment == dmarc.AlignmentYes && c.Unknown:
		return c.Domain + " would align: " + explain.WhyUnknown(c, identities)
	case c.Alignment != dmarc.AlignmentYes:
		return c.Domain + " ≠ " + d.AuthorDomain
	case c.Domain != d.AuthorDomain:
		return c.Domain + " = " + d.AuthorDomain + " (relaxed)"
	}
	return c.Domain + " = " + d.AuthorDomain
}

func brokenWord(s *dkim.Result) string {
	switch s.Code {
	case dkim.Fail:
		return "broken"
	case dkim.Policy:
		return "not accepted"
	}
	return "unusable"
}

// explainOverride says why the action differs from the published policy.
func explainOverride(d *postseal.Decision) string {
	if d.Action != d.Applied {
		return "downgraded from " + string(d.Action) + " — " + d.Override.Comment
	}
	return "(" + strings.ReplaceAll(string(d.Override.Type), "_", " ") + ": " + d.Override.Comment + ")"
}

// explainVerdict says why the verdict is what it is.
func explainVerdict(r *postseal.Report) string {
	d, m := &r.Decision, &r.DMARC
	words := reason.Values{Author: m.AuthorDomain, Methods: alignedMethods(m)}
	switch d.Reason {
	case postseal.AuthorMalformed:
		return reason.Text(r.Author.Reason, words)
	case postseal.MessageLimit:
		return cmp.Or(reason.Text(r.Limit, words), reason.Text(d.Reason, words))
	case postseal.DMARCTempError:
		if len(r.SPF) == 0 && m.Reason == dmarc.IdentifierUnknown {
			words.Cause = "an input of SPF is not known"
		}
	case postseal.LocalRule:
		if d.Action == postseal.Accept {
			return reason.Accepted.Text
		}
		if d.Action == postseal.Defer {
			return reason.Delayed.Text
		}
	case postseal.FieldAdded:
		words.Fields = strings.Join(postseal.AddedFields(r), ", ")
	}
	text := reason.Text(d.Reason, words) + testMode(m)
	if signals := postseal.Corroboration(r, nil); d.Reason == postseal.DMARCReject && d.Applied == postseal.Reject && len(signals) > 0 {
		text += "; confirmed by: " + reason.Signals(signals)
	}
	return text
}

func testMode(m *dmarc.Result) string {
	if m.TestMode {
		return ", downgraded by its test mode (t=y)"
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

// explainAnswer describes the answer to a DNS query.
func explainAnswer(e *resolver.Exchange) (term.Tone, string) {
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
		return fmt.Sprintf("%d %s", rr.Preference, cmp.Or(rr.Target, "."))
	case resolver.PTR, resolver.NS, resolver.CNAME:
		return cmp.Or(rr.Target, ".")
	}
	return fmt.Sprintf("%x", rr.Data)
}
