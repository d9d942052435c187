package view

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/term"
	"postseal/resolver"
	"postseal/spf"
)

// trace prints every step of the verdict.
func (v *messageView) trace() {
	for i := range v.r.SPF {
		v.traceSPF(&v.r.SPF[i])
	}
	for i := range v.r.DKIM {
		v.traceDKIM(&v.r.DKIM[i])
	}
	v.traceDMARC(&v.r.DMARC, v.r.SPF)
	v.traceDNS(v.r.Exchanges())
	v.traceHeaders()
}

// section starts a part of the trace.
func (p *Page) section(title, rest string) {
	p.line("")
	indent := 1 + len(title) + 2
	for i, l := range wrap(p.clean(rest), term.Width-indent) {
		if i == 0 {
			p.line(" %s  %s", p.Style.Bold(title), l)
			continue
		}
		p.line("%*s%s", indent, "", l)
	}
}

// item is one line of a part: a label column and text, which wraps into its column.
func (p *Page) item(label string, width int, text string) {
	indent := 3 + width + 2
	lines := wrap(p.clean(text), term.Width-indent)
	if len(lines) == 0 {
		lines = []string{""}
	}
	p.line("   %s  %s", term.Pad(p.clean(label), width), lines[0])
	for _, l := range lines[1:] {
		p.line("%*s%s", indent, "", l)
	}
}

func (p *Page) traceSPF(s *spf.Result) {
	p.section("SPF", fmt.Sprintf("%s %s: %s", s.Identity, cmp.Or(s.Domain, "(no domain)"), s.Code))
	const width = 10
	p.item("reason", width, string(s.Reason)+", "+explainSPF(s))
	if len(s.Path) > 0 {
		p.item("path", width, strings.Join(s.Path, " → "))
	}
	p.item("spent", width, fmt.Sprintf("%d/%d lookups, %d/%d void", s.Lookups, spf.DefaultLookups, s.VoidLookups, spf.DefaultVoidLookups))
	for _, spend := range s.Spent {
		text := spend.Term
		if spend.Name != "" && !strings.HasSuffix(spend.Term, ":"+spend.Name) && !strings.HasSuffix(spend.Term, "="+spend.Name) {
			text += " → " + spend.Name
		}
		text += "  of " + spend.Domain
		if spend.Void {
			text += "  void"
		}
		p.item(fmt.Sprintf("%8d", spend.Lookup), width, text)
	}
	if s.Cacheable {
		p.item("valid", width, "for any sender at the domain from this address, for "+lifetime(s.TTL))
	}
}

func (p *Page) traceDKIM(s *dkim.Result) {
	p.section("DKIM", s.Name()+": "+string(s.Code))
	const width = 10
	p.item("reason", width, strings.TrimSuffix(string(s.Reason)+", "+s.Problem, ", "))
	known := func(title, text string) {
		if text != "" { // values missing from a malformed field are omitted
			p.item(title, width, text)
		}
	}
	if s.Domain != "" && s.Selector != "" {
		known("key", strings.TrimSuffix(fmt.Sprintf("%s._domainkey.%s, %d bits", s.Selector, s.Domain, s.KeyBits), ", 0 bits"))
	}
	known("algorithm", strings.TrimSpace(s.Algorithm+" "+s.Canonicalization))
	known("identity", s.AUID)
	known("signed", strings.Join(s.SignedFields, ":"))
	if s.BodyLength >= 0 {
		p.item("body", width, fmt.Sprintf("l=%d octets", s.BodyLength))
	}
	if !s.Timestamp.IsZero() {
		p.item("signed at", width, s.Timestamp.UTC().Format(time.RFC3339))
	}
	if !s.Expiration.IsZero() {
		p.item("expires", width, s.Expiration.UTC().Format(time.RFC3339))
	}
	if s.B != "" {
		p.item("b=", width, s.B+"…")
	}
	if s.Diagnosis.Cause != "" {
		p.item("broke", width, strings.TrimSuffix(string(s.Diagnosis.Cause)+": "+s.Diagnosis.Text, ": "))
	}
}

func (p *Page) traceDMARC(d *dmarc.Result, identities []spf.Result) {
	p.section("DMARC", strings.TrimSuffix(cmp.Or(d.AuthorDomain, "(no author domain)")+": "+string(d.Code), ": "))
	const width = 10
	if d.Reason != "" {
		p.item("reason", width, strings.TrimSuffix(string(d.Reason)+", "+d.Problem, ", "))
	}
	for i, step := range d.Walk {
		label := ""
		if i == 0 {
			label = string(d.Discovery)
		}
		p.item(label, width, stepText(&step))
	}
	if d.OrgDomain != "" {
		p.item("org domain", width, d.OrgDomain+guardText(d))
	}
	if d.PolicyDomain != "" {
		p.item("policy", width, fmt.Sprintf("%s, of %s", cmp.Or(string(d.Policy), "not known"), d.PolicyDomain)+testMode(d))
	}
	for i := range d.Compared {
		c := &d.Compared[i]
		p.item("compared", width, c.Method+" "+compared(d, c, identities)+orgText(c))
		for _, step := range c.Walk {
			p.item("", width, "  "+stepText(&step))
		}
	}
}

func guardText(d *dmarc.Result) string {
	if d.Guard {
		return " (a public suffix publishes a record without psd=y; it is not taken for the organization)"
	}
	return ""
}

func orgText(c *dmarc.Compared) string {
	if c.OrgDomain == "" {
		return ""
	}
	return ", org domain " + c.OrgDomain
}

func stepText(s *dmarc.Step) string {
	switch s.Outcome {
	case dmarc.FoundRecord:
		return s.Name + "  " + s.Record
	case dmarc.FoundSeveral:
		return s.Name + "  several records: they count as none"
	case dmarc.FoundUnknown:
		return s.Name + "  " + strings.ToUpper(string(resolver.KindOf(s.Err)))
	}
	return s.Name + "  no record"
}

func (p *Page) traceDNS(exchanges []resolver.Exchange) {
	p.section("DNS", Plural(len(exchanges), "query", "queries"))
	for i := range exchanges {
		e := &exchanges[i]
		tone, text := explainAnswer(e)
		right := "TTL " + lifetime(e.Answer.TTL)
		if e.Err != nil || e.Answer.TTL == 0 {
			right = ""
		}
		if e.Took > 0 && !p.Offline {
			right = strings.TrimPrefix(right+", "+short(e.Took), ", ")
		}
		left := " " + p.Style.Symbol(tone) + " " + term.Pad(e.Type.String(), 5) + " " + p.Style.Sanitize(e.Name, 60)
		gap := max(term.Width-term.Columns(left)-len(right), 3)
		if right != "" {
			left += strings.Repeat(" ", gap) + p.Style.Dim(right)
		}
		p.line("%s", left)
		for _, l := range wrap(p.clean(text), term.Width-9) {
			p.line("%9s%s", "", l)
		}
	}
}

func (v *messageView) traceHeaders() {
	h := &v.r.Headers
	v.section("HEADER", fmt.Sprintf("%d to remove, %d to add", len(h.Remove), len(h.Add)))
	for _, ref := range h.Remove {
		v.line("   - %s no. %d from the top", v.clean(ref.Name), ref.Index)
	}
	for _, f := range h.Add {
		for i, l := range wrap(v.Style.Sanitize(f.Name+":"+f.Value, 0), term.Width-8) {
			if i == 0 {
				v.line("   + %s", l)
				continue
			}
			v.line("        %s", l)
		}
	}
	v.line("")
}
