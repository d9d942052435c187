package cli

import (
	"fmt"
	"strings"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/term"
	"postseal/resolver"
	"postseal/spf"
)

// trace prints every step behind the verdict.
func (v *view) trace() {
	for i := range v.r.SPF {
		v.traceSPF(&v.r.SPF[i])
	}
	for i := range v.r.DKIM {
		v.traceDKIM(&v.r.DKIM[i])
	}
	v.traceDMARC(&v.r.DMARC)
	v.traceDNS(v.r.Exchanges())
	v.traceHeaders()
}

// section begins a part of the trace.
func (v *view) section(title, rest string) {
	v.line("")
	indent := 1 + len(title) + 2
	for i, l := range wrap(v.clean(rest), term.Width-indent) {
		if i == 0 {
			v.line(" %s  %s", v.style.Bold(title), l)
			continue
		}
		v.line("%*s%s", indent, "", l)
	}
}

// item is one line of a part: a label column and text, which wraps into its column.
func (v *view) item(label string, width int, text string) {
	indent := 3 + width + 2
	lines := wrap(v.clean(text), term.Width-indent)
	if len(lines) == 0 {
		lines = []string{""}
	}
	v.line("   %s  %s", term.Pad(v.clean(label), width), lines[0])
	for _, l := range lines[1:] {
		v.line("%*s%s", indent, "", l)
	}
}

func (v *view) traceSPF(s *spf.Result) {
	v.section("SPF", fmt.Sprintf("%s %s: %s", s.Identity, orWord(s.Domain, "(no domain)"), s.Code))
	const width = 10
	v.item("reason", width, string(s.Reason)+", "+spfStory(s))
	if len(s.Path) > 0 {
		v.item("path", width, strings.Join(s.Path, " → "))
	}
	v.item("spent", width, fmt.Sprintf("%d/%d lookups, %d/%d void", s.Lookups, spf.DefaultLookups, s.VoidLookups, spf.DefaultVoidLookups))
	for _, spend := range s.Spent {
		text := spend.Term
		if spend.Name != "" && !strings.HasSuffix(spend.Term, ":"+spend.Name) && !strings.HasSuffix(spend.Term, "="+spend.Name) {
			text += " → " + spend.Name
		}
		text += "  of " + spend.Domain
		if spend.Void {
			text += "  void"
		}
		v.item(fmt.Sprintf("%8d", spend.Lookup), width, text)
	}
	if s.Cacheable {
		v.item("valid", width, "for any sender at the domain from this address, for "+lifetime(s.TTL))
	}
}

func (v *view) traceDKIM(s *dkim.Signature) {
	v.section("DKIM", fmt.Sprintf("d=%s s=%s: %s", s.Domain, s.Selector, s.Result))
	const width = 10
	v.item("reason", width, strings.TrimSuffix(string(s.Reason)+", "+s.Problem, ", "))
	v.item("key", width, strings.TrimSuffix(fmt.Sprintf("%s._domainkey.%s, %d bits", s.Selector, s.Domain, s.KeyBits), ", 0 bits"))
	v.item("algorithm", width, s.Algorithm+" "+s.Canonicalization)
	v.item("identity", width, s.AUID)
	v.item("signed", width, strings.Join(s.SignedFields, ":"))
	if s.BodyLength >= 0 {
		v.item("body", width, fmt.Sprintf("l=%d octets", s.BodyLength))
	}
	if !s.Timestamp.IsZero() {
		v.item("signed at", width, s.Timestamp.UTC().Format(time.RFC3339))
	}
	if !s.Expiration.IsZero() {
		v.item("expires", width, s.Expiration.UTC().Format(time.RFC3339))
	}
	v.item("b=", width, s.B+"…")
	if s.Diagnosis.Cause != "" {
		v.item("broke", width, strings.TrimSuffix(string(s.Diagnosis.Cause)+": "+s.Diagnosis.Text, ": "))
	}
}

func (v *view) traceDMARC(d *dmarc.Result) {
	v.section("DMARC", strings.TrimSuffix(orWord(d.AuthorDomain, "(no author domain)")+": "+string(d.Result), ": "))
	const width = 10
	if d.Reason != "" {
		v.item("reason", width, strings.TrimSuffix(string(d.Reason)+", "+d.Problem, ", "))
	}
	for i, step := range d.Walk {
		label := ""
		if i == 0 {
			label = string(d.Discovery)
		}
		v.item(label, width, stepText(&step))
	}
	if d.OrgDomain != "" {
		v.item("org domain", width, d.OrgDomain+guardText(d))
	}
	if d.PolicyDomain != "" {
		v.item("policy", width, fmt.Sprintf("%s, of %s", orWord(string(d.Policy), "not known"), d.PolicyDomain)+testMode(d))
	}
	for i := range d.Compared {
		c := &d.Compared[i]
		v.item("compared", width, c.Method+" "+compared(d, c)+orgText(c))
		for _, step := range c.Walk {
			v.item("", width, "  "+stepText(&step))
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
		return s.Name + "  " + s.Record.Text
	case dmarc.FoundSeveral:
		return s.Name + "  several records: counts as none"
	case dmarc.FoundUnknown:
		return s.Name + "  " + strings.ToUpper(string(resolver.KindOf(s.Err)))
	}
	return s.Name + "  no record"
}

func (v *view) traceDNS(exchanges []resolver.Exchange) {
	v.section("DNS", plural(len(exchanges), "question", "questions"))
	for i := range exchanges {
		e := &exchanges[i]
		tone, text := answerStory(e)
		right := "TTL " + lifetime(e.Answer.TTL)
		if e.Err != nil || e.Answer.TTL == 0 {
			right = ""
		}
		if e.Took > 0 && len(v.app.flags.zones) == 0 {
			right = strings.TrimPrefix(right+", "+short(e.Took), ", ")
		}
		left := " " + v.style.Symbol(tone) + " " + term.Pad(e.Type.String(), 5) + " " + v.style.Clean(e.Name, 60)
		gap := max(term.Width-term.Columns(left)-len(right), 3)
		if right != "" {
			left += strings.Repeat(" ", gap) + v.style.Dim(right)
		}
		v.line("%s", left)
		for _, l := range wrap(v.clean(text), term.Width-9) {
			v.line("%9s%s", "", l)
		}
	}
}

func (v *view) traceHeaders() {
	h := &v.r.Headers
	v.section("HEADER", fmt.Sprintf("%d to remove, %d to add", len(h.Remove), len(h.Add)))
	for _, ref := range h.Remove {
		v.line("   - %s no. %d from the top", v.clean(ref.Name), ref.Index)
	}
	for _, f := range h.Add {
		for i, l := range wrap(v.style.Clean(f.Name+":"+f.Value, 0), term.Width-8) {
			if i == 0 {
				v.line("   + %s", l)
				continue
			}
			v.line("        %s", l)
		}
	}
	v.line("")
}

// traceJSON is what --trace adds to the JSON.
type traceJSON struct {
	SPF   []spfTraceJSON `json:"spf"`
	DMARC dmarcTraceJSON `json:"dmarc"`
	DNS   []exchangeJSON `json:"dns"`
}

type spfTraceJSON struct {
	Identity string      `json:"identity"`
	Spent    []spendJSON `json:"spent"`
}

type spendJSON struct {
	Lookup int    `json:"lookup"`
	Domain string `json:"domain"`
	Term   string `json:"term"`
	Name   string `json:"name"`
	Void   bool   `json:"void"`
}

type dmarcTraceJSON struct {
	Walk     []stepJSON     `json:"walk"`
	Compared []comparedJSON `json:"compared"`
}

type stepJSON struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Record  string `json:"record"`
	Error   string `json:"error"`
}

type comparedJSON struct {
	Method    string     `json:"method"`
	Domain    string     `json:"domain"`
	OrgDomain string     `json:"org_domain"`
	Alignment string     `json:"alignment"`
	Unknown   bool       `json:"unknown"`
	Walk      []stepJSON `json:"walk"`
}

type exchangeJSON struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Outcome  string   `json:"outcome"` // records, nodata, nxdomain, or the kind of failure
	Records  []string `json:"records"`
	TTL      int64    `json:"ttl"`
	Security string   `json:"security"`
	Micros   int64    `json:"micros"`
}

func makeTrace(r *postseal.Report) traceJSON {
	t := traceJSON{SPF: []spfTraceJSON{}, DMARC: dmarcTraceJSON{Walk: makeSteps(r.DMARC.Walk), Compared: []comparedJSON{}}, DNS: []exchangeJSON{}}
	for _, s := range r.SPF {
		t.SPF = append(t.SPF, spfTraceJSON{string(s.Identity), makeSpent(s.Spent)})
	}
	for _, c := range r.DMARC.Compared {
		t.DMARC.Compared = append(t.DMARC.Compared, comparedJSON{c.Method, c.Domain, c.OrgDomain, string(c.Alignment), c.Unknown, makeSteps(c.Walk)})
	}
	for _, e := range r.Exchanges() {
		t.DNS = append(t.DNS, makeExchange(&e))
	}
	return t
}

func makeSpent(spent []spf.Spend) []spendJSON {
	list := make([]spendJSON, 0, len(spent))
	for _, s := range spent {
		list = append(list, spendJSON{s.Lookup, s.Domain, s.Term, s.Name, s.Void})
	}
	return list
}

func makeSteps(steps []dmarc.Step) []stepJSON {
	list := make([]stepJSON, 0, len(steps))
	for _, s := range steps {
		j := stepJSON{Name: s.Name, Outcome: string(s.Outcome)}
		if s.Record != nil {
			j.Record = s.Record.Text
		}
		if s.Err != nil {
			j.Error = s.Err.Error()
		}
		list = append(list, j)
	}
	return list
}

func makeExchange(e *resolver.Exchange) exchangeJSON {
	j := exchangeJSON{Name: e.Name, Type: e.Type.String(), Outcome: "records", Records: []string{}, TTL: int64(e.Answer.TTL / time.Second),
		Security: e.Answer.Security.String(), Micros: e.Took.Microseconds()}
	switch {
	case e.Err != nil:
		j.Outcome = string(resolver.KindOf(e.Err))
	case e.Answer.NXDomain:
		j.Outcome = "nxdomain"
	case len(e.Answer.Records) == 0:
		j.Outcome = "nodata"
	}
	for i := range e.Answer.Records {
		j.Records = append(j.Records, recordText(&e.Answer.Records[i], e.Type))
	}
	return j
}
