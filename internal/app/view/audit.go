package view

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/audit"
	"postseal/internal/app/term"
)

// auditView writes the audit of one domain for people.
type auditView struct {
	*Page
	report *audit.Report
	known  map[string]bool // findings of the baseline
}

func (v *auditView) show(first bool, code int) {
	if v.Quiet {
		v.short()
		return
	}
	if !first {
		v.line("")
	}
	v.head()
	v.spf()
	v.dkim()
	v.dmarc()
	v.mx()
	v.others()
	v.unchecked()
	v.findings()
	v.publish()
	v.foot(code)
}

// short is the single line of --quiet.
func (v *auditView) short() {
	r := v.report
	v.line("%s  %s  %s", v.grade(), term.Pad(v.clean(r.Domain), 40), v.Style.Dim(v.clean(r.GradeReason)))
}

func (v *auditView) grade() string {
	g := string(v.report.Grade)
	if g == "" {
		g = "-"
	}
	return v.Style.Bold(v.Style.Paint(gradeTone(v.report.Grade), g))
}

func gradeTone(g audit.Grade) term.Tone {
	switch g {
	case "A", "B":
		return term.Good
	case "C":
		return term.Warn
	case "":
		return term.Muted
	}
	return term.Bad
}

var profileWords = map[audit.Profile]string{audit.Both: "sends + receives", audit.Sending: "sends only", audit.Receiving: "receives only",
	audit.Parked: "parked", audit.Unknown: "unknown profile"}

func (v *auditView) head() {
	r := v.report
	grade, reason := "grade "+v.grade(), v.Style.Dim("("+v.clean(r.GradeReason)+")")
	if r.Grade == "" {
		grade, reason = "", v.clean(r.GradeReason)
	}
	took := time.Duration(r.Cost.Micros) * time.Microsecond
	tail := profileWords[r.Profile] + "   " + v.Style.Dim(short(took)+", "+Plural(r.Cost.DNSQueries, "query", "queries"))
	name := v.Style.Bold(v.Style.Sanitize(r.Domain, 60))
	if line := name + "   " + strings.TrimLeft(grade+" "+reason, " ") + "   " + tail; term.Columns(line) <= term.Width {
		v.line("%s", line)
		return
	}
	v.line("%s   %s", name, strings.TrimLeft(grade+"   "+tail, " "))
	for _, l := range wrap(v.clean(r.GradeReason), term.Width-1) {
		v.line(" %s", l)
	}
}

// tone returns the tone of the most severe finding of an area.
func (v *auditView) tone(area string) term.Tone {
	tone := v.toneOf(func(f *audit.Finding) bool { return strings.HasPrefix(f.ID, area+".") })
	if tone == term.Good && v.unknown(area) {
		return term.Muted
	}
	return tone
}

// unknown reports whether a lookup failed without which an area cannot be judged.
func (v *auditView) unknown(area string) bool {
	return slices.ContainsFunc(v.report.Unchecked, func(u audit.Unchecked) bool { return u.Check == area && u.Grave })
}

// toneOf returns the tone of the most severe of some findings.
func (v *auditView) toneOf(of func(*audit.Finding) bool) term.Tone {
	tone := term.Good
	for i := range v.report.Findings {
		if f := &v.report.Findings[i]; of(f) {
			tone = max(tone, severityTones[f.Severity])
		}
	}
	return tone
}

// method starts the line of one mechanism.
func (v *auditView) method(name string, tone term.Tone, text string) {
	v.line(" %s %s  %s", v.Style.Bold(term.Pad(name, 6)), v.Style.Symbol(tone), text)
}

// state returns the text for a missing record.
func (v *auditView) state(name string, s audit.Status, area string) bool {
	switch s.State {
	case audit.Found:
		return false
	case audit.Failed:
		v.method(name, term.Muted, "could not be checked: "+v.clean(string(s.Kind)+" at "+s.Name))
	default:
		tone := v.tone(area)
		if tone == term.Good {
			tone = term.Muted
		}
		v.method(name, tone, "no record at "+v.clean(s.Name)+" "+v.Style.Dim("("+stateWord(s.State)+")"))
	}
	return true
}

func stateWord(s audit.State) string {
	if s == audit.NXDomain {
		return "NXDOMAIN"
	}
	return "no such data"
}

func (v *auditView) dkim() {
	keys := v.report.Records.DKIM
	if len(keys) == 0 {
		text := "no key found at the selectors tried; others may exist"
		if v.report.Records.SPF.State == audit.NXDomain {
			text = "none"
		}
		for _, f := range v.report.Findings {
			if f.ID == "dkim.none-visible" {
				text = "no key can exist: _domainkey is NXDOMAIN"
			}
		}
		tone := v.tone("dkim")
		if tone == term.Good {
			tone = term.Muted
		}
		v.method("DKIM", tone, text)
		if len(v.report.Tried) > 0 {
			v.indented("tried: " + strings.Join(v.report.Tried, " "))
		}
		return
	}
	for i := range keys {
		k := &keys[i]
		name := "DKIM"
		if i > 0 {
			name = ""
		}
		tone, text := v.key(k)
		v.method(name, tone, term.Pad(v.Style.Sanitize(k.Selector, 24), 12)+" "+text+"  "+v.Style.Dim("from "+sourceWords[k.Source]+v.clean(lastSeen(k))))
	}
}

var sourceWords = map[audit.Source]string{audit.FromFlag: "--selector", audit.FromFile: "the selector file", audit.FromMail: "your mail", audit.FromHistory: "the verdict history", audit.FromReport: "aggregate reports",
	audit.FromHint: "a hint of the provider", audit.FromList: "the list of common names",
	audit.FromProbe: "an unused name"}

func lastSeen(k *audit.DKIMKey) string {
	if k.Last == "" {
		return ""
	}
	return ", last seen " + k.Last
}

func (v *auditView) key(k *audit.DKIMKey) (term.Tone, string) {
	tone := v.toneOf(func(f *audit.Finding) bool { return f.Where.Name == k.Name && strings.HasPrefix(f.ID, "dkim.") })
	switch {
	case k.State == audit.Failed:
		return term.Muted, "could not be checked: " + v.clean(string(k.Kind))
	case k.State != audit.Found:
		return tone, "no key (" + stateWord(k.State) + ")"
	case k.Revoked:
		return term.Muted, "revoked"
	case k.Type == "":
		return tone, "not readable"
	}
	return tone, v.clean(fmt.Sprintf("%s %d bits", k.Type, k.Bits))
}

func (v *auditView) dmarc() {
	d := &v.report.Records.DMARC
	if !v.state("DMARC", d.Status, "dmarc") {
		text := "policy " + cmp.Or(d.Policy, "none")
		if d.PolicyDomain != v.report.Domain {
			text += " of " + d.PolicyDomain
		}
		if d.SP != "" {
			text += " sp=" + d.SP
		}
		if d.NP != "" {
			text += " np=" + d.NP
		}
		v.method("DMARC", v.tone("dmarc"), v.clean(text)+v.Style.Dim(v.clean(reportsText(d))))
		v.detailLines(d.Record)
	}
	steps := make([]string, 0, len(d.Walk))
	for _, s := range d.Walk {
		steps = append(steps, s.Name+" "+s.Outcome)
	}
	if v.Verbose || d.State != audit.Found {
		v.indented("walk: " + strings.Join(steps, " → "))
	}
	if d.State == audit.Found && (d.PSL.PolicyDomain != d.PolicyDomain || d.PSL.OrgDomain != d.OrgDomain || v.Verbose) {
		v.indented(fmt.Sprintf("organization %s by RFC 9989, %s by the public suffix list", cmp.Or(d.OrgDomain, "unknown"), cmp.Or(d.PSL.OrgDomain, "unknown")))
	}
}

func reportsText(d *audit.DMARC) string {
	agreed := 0
	for _, u := range d.RUA {
		if u.Authorised != "no" {
			agreed++
		}
	}
	if len(d.RUA) == 0 {
		return ", no reports"
	}
	return fmt.Sprintf(", %d of %d report destinations reachable", agreed, len(d.RUA))
}

func (v *auditView) mx() {
	hosts := v.report.Records.MX
	switch {
	case len(hosts) == 0:
		for _, u := range v.report.Unchecked {
			if u.Check == "mx" && u.Name == v.report.Domain {
				v.method("MX", term.Muted, "could not be checked: "+v.clean(string(u.Kind)))
				return
			}
		}
		tone := v.tone("mx")
		if tone == term.Good {
			tone = term.Muted
		}
		v.method("MX", tone, "none")
		return
	case len(hosts) == 1 && hosts[0].Name == "":
		v.method("MX", v.tone("mx"), "null MX: accepts no mail")
		return
	}
	names, bad := []string{}, 0
	for _, h := range hosts {
		names = append(names, cmp.Or(h.Name, "."))
		if h.FCrDNS == "fail" {
			bad++
		}
	}
	text := Plural(len(hosts), "host", "hosts") + v.clean(": "+strings.Join(names, " "))
	if bad == 0 {
		text += ", FCrDNS"
	}
	v.method("MX", v.tone("mx"), text)
}

// others writes a line of mechanisms that need only a symbol and a word.
func (v *auditView) others() {
	rec := &v.report.Records
	parts := []string{
		v.sign("MTA-STS", rec.MTASTS.State, stsWord(&rec.MTASTS), "mtasts"),
		v.sign("TLS-RPT", rec.TLSRPT.State, "", "tlsrpt"),
		v.sign("DNSSEC", presence(rec.DNSSEC.State == "secure"), dnssecWord(&rec.DNSSEC), "dnssec"),
		v.sign("DANE", presence(len(rec.DANE) > 0), "", "dane"),
		v.sign("CAA", presence(len(rec.CAA) > 0), "", "caa"),
		v.sign("NS", presence(len(rec.NS) > 0), strconv.Itoa(len(rec.NS)), "ns"),
		v.sign("BIMI", rec.BIMI.State, rec.BIMI.Logo, "bimi"),
	}
	line := ""
	for _, p := range parts {
		if line != "" && term.Columns(line)+3+term.Columns(p) > term.Width-1 {
			v.line(" %s", line)
			line = ""
		}
		line = strings.TrimPrefix(line+"   "+p, "   ")
	}
	v.line(" %s", line)
	for _, t := range rec.TLS {
		v.line(" %s %s", v.Style.Bold(term.Pad("TLS", 6)), v.clean(strings.TrimRight(fmt.Sprintf("%s: %s %s %s", t.Host, t.State, t.Version, t.Certificate), " ")))
	}
	for _, b := range rec.Bulk {
		tone := map[string]term.Tone{"yes": term.Good, "no": term.Bad}[b.Met]
		v.line(" %s %s  %s %s", v.Style.Bold(term.Pad("bulk", 6)), v.Style.Symbol(tone), term.Pad(b.Receiver, 12), v.clean(b.Needs+bulkWord(&b)))
	}
}

func bulkWord(b *audit.Requirement) string {
	switch b.Met {
	case "no":
		return " is not met: " + b.Reply
	case "unknown":
		return " cannot be determined from the DNS"
	}
	return ""
}

func presence(ok bool) audit.State {
	if ok {
		return audit.Found
	}
	return audit.NoData
}

func stsWord(m *audit.MTASTS) string {
	switch {
	case m.Policy != nil && m.Policy.Mode != "enforce":
		return m.Policy.Mode
	case m.State == audit.Found && m.Policy == nil:
		return "policy not seen"
	}
	return ""
}

func dnssecWord(d *audit.DNSSEC) string {
	switch {
	case d.State == "bogus":
		return "bogus"
	case d.State != "secure" && d.Signed:
		return "signed, not validated here"
	}
	return ""
}

// sign returns a name with the symbol of its state.
func (v *auditView) sign(name string, s audit.State, more, area string) string {
	tone := v.tone(area)
	switch {
	case s == audit.Failed:
		tone, more = term.Muted, "not checked"
	case s != audit.Found && tone == term.Good:
		tone, more = term.Muted, ""
	}
	text := v.Style.Bold(name) + " " + v.Style.Symbol(tone)
	if more != "" {
		text += " " + v.Style.Sanitize(more, 30)
	}
	return text
}

func (v *auditView) detailLines(text string) {
	for _, l := range wrap(v.clean(text), term.Width-11) {
		v.line("           %s", v.Style.Dim(l))
	}
}

func (v *auditView) indented(text string) {
	for _, l := range wrap(v.clean(text), term.Width-11) {
		v.line("           %s", l)
	}
}

func (v *auditView) findings() {
	for i := range v.report.Findings {
		v.finding(&v.report.Findings[i])
	}
}

var severityTones = map[audit.Severity]term.Tone{audit.Critical: term.Bad, audit.Error: term.Bad, audit.Warn: term.Warn, audit.Info: term.Muted}

func (v *auditView) finding(f *audit.Finding) {
	rule, _ := audit.RuleOf(f.ID)
	head := fmt.Sprintf(" %s %s  %s", v.Style.Symbol(severityTones[f.Severity]), v.Style.Bold(f.ID), v.clean(f.Title))
	severity := string(f.Severity)
	if v.known[v.report.Domain+" "+f.Key()] {
		severity = "known " + severity
	}
	right := v.Style.Text(severity + ", " + rule.Cite())
	if gap := term.Width - term.Columns(head) - term.Columns(right); gap < 2 {
		v.line("%s", head)
		v.line("     %s", v.Style.Dim(right))
	} else {
		v.line("%s%*s%s", head, gap, "", v.Style.Dim(right))
	}
	v.caret(f)
	for _, l := range wrap(v.clean(f.Detail), term.Width-5) {
		v.line("     %s", l)
	}
	if f.Severity == audit.Info && !v.Verbose {
		return
	}
	for _, l := range wrap(v.clean(rule.Why), term.Width-5) {
		v.line("     %s", v.Style.Dim(l))
	}
	for i, l := range wrap(v.clean("fix: "+f.Fix), term.Width-10) {
		if i == 0 {
			v.line("     %s%s", v.Style.Green("fix:"), strings.TrimPrefix(l, "fix:"))
			continue
		}
		v.line("          %s", l)
	}
}

// publish shows the record to publish for each name, on its own line so that it can be copied
// whole.
func (v *auditView) publish() {
	for _, p := range v.report.Publish {
		v.line(" %s %s", v.Style.Green("publish"), v.Style.Bold(v.clean(p.Name+"  "+p.Type)))
		v.line("     %s", v.uncut(p.Value))
		for _, note := range []string{"replaces the existing record; fixes " + strings.Join(p.Mends, ", "), stringsNote(p.Value)} {
			for _, l := range wrap(v.clean(note), term.Width-5) {
				v.line("     %s", v.Style.Dim(l))
			}
		}
	}
	for _, n := range v.report.NoRecord {
		for _, l := range wrap(v.clean("no record to publish at "+n.Name+": "+n.Reason), term.Width-1) {
			v.line(" %s", l)
		}
	}
}

// caret marks the position in the record.
func (v *auditView) caret(f *audit.Finding) {
	if f.Where.Record == "" || f.Where.Offset > len(f.Where.Record) {
		return
	}
	excerpt, column := v.excerpt(f.Where.Record, f.Where.Offset, 5)
	v.line("     %s", v.Style.Dim(excerpt))
	v.line("     %*s%s", column, "", v.Style.Paint(severityTones[f.Severity], "^"))
}

func (v *auditView) foot(code int) {
	counts := map[audit.Severity]int{}
	for _, f := range v.report.Findings {
		counts[f.Severity]++
	}
	parts := []string{}
	for _, s := range []audit.Severity{audit.Critical, audit.Error, audit.Warn, audit.Info} {
		if n := counts[s]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+string(s))
		}
	}
	text := " no findings"
	if n := len(v.report.Findings); n > 0 {
		text = " " + Plural(n, "finding", "findings") + ": " + strings.Join(parts, ", ") + " · postseal rules " + v.report.Findings[0].ID
	}
	right := fmt.Sprintf("[exit %d]", code)
	text = v.Style.Text(text)
	v.line("%s", v.Style.Dim(text+strings.Repeat(" ", max(term.Width-term.Columns(text)-len(right), 2))+right))
}

// thousands writes a number of any size with commas, or as a power if it is too long.
func thousands(decimal string) string {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		return decimal
	}
	if len(decimal) > 15 {
		return fmt.Sprintf("2^%d", n.BitLen()-1)
	}
	return term.Commas(decimal)
}
