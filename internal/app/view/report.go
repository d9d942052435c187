package view

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/reportjson"
	"postseal/internal/app/secondopinion"
	"postseal/internal/app/term"
	"postseal/internal/core/address"
	"postseal/internal/core/reason"
	"postseal/spf"
)

// Message is the verdict on one message, and how to show it.
type Message struct {
	Report   *postseal.Report
	Name     string   // of the file
	Envelope []string // the source of the envelope, nil if the user gave it
	Exit     int      // the exit code for this message alone
	Next     bool     // it is not the first one
	Trace    bool     // show every step
	Bundle   bool     // it was evaluated from a bundle
	Second   bool     // show Opinions
	Opinions []secondopinion.Opinion
}

// Message writes a verdict.
func (p *Page) Message(m *Message) error {
	if p.JSON() {
		return p.Object(m.extended())
	}
	v := &messageView{Page: p, Message: m, r: m.Report}
	v.write()
	return nil
}

// extended adds to the JSON of the report what the reader requested.
func (m *Message) extended() reportjson.Extended {
	e := reportjson.Extended{Report: m.Report}
	if m.Trace {
		e.More = append(e.More, reportjson.Field{Name: "trace", Value: makeTrace(m.Report)})
	}
	if m.Second {
		e.More = append(e.More, reportjson.Field{Name: "second_opinion", Value: m.Opinions})
	}
	if m.Bundle {
		e.More = append(e.More, reportjson.Field{Name: "bundle", Value: true})
	}
	return e
}

// messageView writes the verdict on one message for people.
type messageView struct {
	*Page
	*Message
	r *postseal.Report
}

func (v *messageView) write() {
	if v.Quiet {
		v.one()
		return
	}
	if v.Next {
		v.line("")
	}
	v.width = v.resultWidth(v.words()...)
	v.head()
	v.envelopeLine()
	v.spf()
	v.signatures(v.r.DKIM)
	v.dmarc(v.r)
	v.arc(&v.r.ARC, v.r.ARCTrusted)
	v.iprev()
	v.forged()
	v.verdict()
	if v.Trace {
		v.trace()
	}
	if v.Second {
		v.secondOpinion()
	}
	v.foot()
}

// one writes the line of --quiet.
func (v *messageView) one() {
	d := v.r.Decision
	v.line("%s  %s  %s  %s", v.Style.Paint(actionTone(d.Applied), fmt.Sprintf("%-10s", d.Applied)), v.ref(),
		fmt.Sprintf("%-18s", d.Reason), v.clean(v.Name))
}

// head shows which message it is: on one line if it fits, else one line per field.
func (v *messageView) head() {
	const gap = 3
	name := v.Style.Sanitize(v.Name, 60)
	indent := term.Columns(name) + gap
	if indent > term.Width/2 {
		indent = 2
	}
	from := v.Style.Dim("From:") + " " + v.from(term.Width-indent-len("From: "))
	subject := v.subject(term.Width - indent - len("Subject: "))
	oneLine := v.Style.Bold(name) + "   " + from
	if subject != "" {
		oneLine += "   " + subject
	}
	switch {
	case term.Columns(oneLine) <= term.Width:
		v.line("%s", oneLine)
		return
	case indent > 2:
		v.line("%s   %s", v.Style.Bold(name), from)
	default:
		v.line("%s", v.Style.Bold(name))
		v.line("%*s%s", indent, "", from)
	}
	if subject != "" {
		v.line("%*s%s", indent, "", subject)
	}
}

func (v *messageView) subject(room int) string {
	h := v.r.Header
	i := h.Index("Subject")
	if i < 0 {
		return ""
	}
	return v.Style.Dim("Subject:") + " " + v.Style.Sanitize(address.DecodeText(h.At(i).Value(), 4*term.Width), room)
}

// from shows the first author: the decoded name and the address as it is. If both do not fit,
// the name is cut, never the domain.
func (v *messageView) from(room int) string {
	h := v.r.Header
	i := h.Index("From")
	if i < 0 {
		return "(no From)"
	}
	mailboxes, err := address.Parse(h.At(i).Value())
	if err != nil || len(mailboxes) == 0 {
		return v.Style.Sanitize(strings.TrimSpace(string(h.At(i).Value())), room)
	}
	more := ""
	if n := h.Count("From") + len(mailboxes) - 2; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	m := mailboxes[0]
	address := v.Style.Sanitize("<"+m.Address()+">", 0) + more
	if left := room - term.Columns(address) - len(`"" `); left >= 8 && m.DisplayName(60) != "" {
		return `"` + v.Style.Sanitize(strings.ReplaceAll(m.DisplayName(60), `"`, "'"), left) + `" ` + address
	}
	if at := strings.LastIndexByte(address, '@'); term.Columns(address) > room && at > 0 {
		address = v.Style.Text("<…") + address[at:]
	}
	return v.Style.Sanitize(address, room)
}

func (v *messageView) envelopeLine() {
	if v.Envelope == nil {
		return
	}
	parts := append([]string{v.r.RemoteIP().String(), "helo " + cmp.Or(v.r.Helo, "(none)"), v.sender()}, v.Envelope...)
	label := " envelope  "
	for _, l := range v.pack(parts, term.Width-len(label)) {
		v.line("%s", v.Style.Dim(label+l))
		label = strings.Repeat(" ", len(label))
	}
}

// sender returns the reverse-path, or says that it is unknown.
func (v *messageView) sender() string {
	if v.r.Conn.UnknownSender {
		return "from not known"
	}
	return "from <" + v.r.ReversePath + ">"
}

// resultWidth is the width of the longest result word.
func (p *Page) resultWidth(words ...string) int {
	width := len("pass")
	for _, w := range words {
		width = max(width, len(w))
	}
	return width
}

// words are all results that a report may show.
func (v *messageView) words() []string {
	list := append(dkimWords(v.r.DKIM), string(v.r.DMARC.Code))
	if len(v.r.SPF) == 0 {
		return append(list, "skipped")
	}
	list = append(list, string(v.r.SPF[0].Code))
	if v.r.IPRev != nil {
		list = append(list, string(v.r.IPRev.Code))
	}
	return list
}

func dkimWords(signatures []dkim.Result) []string {
	var list []string
	for i := range signatures {
		list = append(list, string(signatures[i].Code))
	}
	return list
}

func (v *messageView) spf() {
	if len(v.r.SPF) == 0 {
		v.result(term.Muted, "SPF", "skipped", v.Style.Dim(v.skipped()), "")
		return
	}
	v.oneSPF(&v.r.SPF[0], v.r.RemoteIP())
	if len(v.r.SPF) > 1 && (v.r.SPF[1].Code != spf.None || v.Verbose) {
		helo := v.r.SPF[1]
		v.detail(v.clean(fmt.Sprintf("helo %s: %s", cmp.Or(helo.Domain, "(none)"), helo.Code)))
	}
}

// skipped says why there is no SPF result.
func (v *messageView) skipped() string {
	if v.r.RemoteIP().IsValid() {
		return "the reverse-path (MAIL FROM) is not known"
	}
	return "no client address"
}

func (p *Page) oneSPF(s *spf.Result, client netip.Addr) {
	text := p.clean(cmp.Or(s.Domain, "(no domain)") + " ← " + client.String())
	p.result(resultTone(string(s.Code)), "SPF", string(s.Code), text, fmt.Sprintf("%d/10 lookups", s.Lookups))
	p.detail(p.clean(explainSPF(s)))
	if s.Explanation != "" {
		p.detail("the domain explains: " + p.clean(s.Explanation))
	}
}

func (p *Page) signatures(list []dkim.Result) {
	if len(list) == 0 {
		p.result(term.Muted, "DKIM", "none", p.Style.Dim("no signature"), "")
		return
	}
	idWidth, algorithmWidth, textWidth := 0, 0, 0
	for i := range list {
		s := &list[i]
		idWidth = max(idWidth, term.Columns(p.signatureID(s)))
		algorithmWidth = max(algorithmWidth, term.Columns(p.algorithm(s)))
		textWidth = max(textWidth, term.Columns(p.clean(explainDKIM(s))))
	}
	beside := idWidth+2+algorithmWidth+2+textWidth <= p.room()
	for i := range list {
		s := &list[i]
		text := term.Pad(p.signatureID(s), idWidth) + "  " + term.Pad(p.algorithm(s), algorithmWidth)
		if beside {
			text += "  " + p.clean(explainDKIM(s))
		}
		p.result(resultTone(string(s.Code)), "DKIM", string(s.Code), strings.TrimRight(text, " "), "")
		if !beside {
			p.detail(p.clean(explainDKIM(s)))
		}
		if s.Code == dkim.Pass && s.TestMode {
			p.detail("the key is in test mode (t=y)")
		}
		if s.Diagnosis.Text != "" {
			p.detail(p.clean(s.Diagnosis.Text))
		}
	}
}

// signatureID leaves space for the algorithm.
func (p *Page) signatureID(s *dkim.Result) string {
	return p.Style.Sanitize(s.Name(), p.room()-20)
}

func (p *Page) algorithm(s *dkim.Result) string {
	text := p.Style.Sanitize(s.Algorithm, 15)
	if s.KeyBits > 0 && strings.HasPrefix(s.Algorithm, "rsa") {
		text += fmt.Sprintf(" %d", s.KeyBits)
	}
	return text
}

func (p *Page) dmarc(r *postseal.Report) {
	d := &r.DMARC
	text := cmp.Or(d.AuthorDomain, "(no author domain)")
	if p := publishedText(d.Published); p != "" {
		text += " " + p
	}
	p.result(dmarcTone(d), "DMARC", string(d.Code), p.clean(text), p.whose(d))
	p.details(explainCompared(r))
	if d.Code != dmarc.Pass {
		p.details(explainBroken(r))
	}
	switch {
	case d.Problem != "":
		p.detail(p.clean(d.Problem))
	case d.Reason == dmarc.NoIdentifier:
		p.detail(reason.Text(d.Reason, reason.Values{}))
	}
}

// whose says where the policy was found, and with how many queries.
func (p *Page) whose(d *dmarc.Result) string {
	if d.PolicyDomain == "" {
		return ""
	}
	return p.Style.Sanitize("_dmarc."+d.PolicyDomain, 50) + ", " + Plural(d.Queries, "query", "queries")
}

func (p *Page) arc(a *arc.Result, trusted bool) {
	if a.Code == "" || a.Code == arc.None {
		return
	}
	tone, beside := term.Warn, "not in trusted_sealers"
	switch {
	case a.Code == arc.Fail:
		tone, beside = term.Bad, ""
	case trusted:
		tone, beside = term.Good, "in trusted_sealers"
	}
	p.result(tone, "ARC", string(a.Code), p.clean(explainARC(a)), beside)
	if a.Problem != "" {
		p.detail(p.clean(a.Problem))
	}
	if a.OldestPass > 0 {
		p.detail(fmt.Sprintf("changed before i=%d: the older signatures do not verify", a.OldestPass))
	}
}

func (v *messageView) iprev() {
	i := v.r.IPRev
	if i == nil {
		return
	}
	switch i.Code {
	case postseal.IPRevPass:
		v.result(term.Good, "IPREV", "pass", v.clean(i.Name), "")
	case postseal.IPRevFail:
		v.result(term.Warn, "IPREV", "fail", v.clean(i.Name)+" does not resolve back to the client", "")
	case postseal.IPRevPermError:
		v.result(term.Muted, "IPREV", string(i.Code), v.Style.Dim("the client's address has no name"), "")
	default:
		v.result(term.Warn, "IPREV", string(i.Code), "the name of the client cannot be looked up now", "")
	}
}

func (v *messageView) forged() {
	for _, ref := range v.r.Headers.Remove {
		v.result(term.Warn, "HEADER", "remove", fmt.Sprintf("%s no. %d claims to be ours", v.clean(ref.Name), ref.Index), "")
	}
}

func (v *messageView) verdict() {
	d := v.r.Decision
	const label = " VERDICT  "
	room := term.Width - len(label)
	for i, l := range wrap(v.clean(string(d.Applied)+" — "+explainVerdict(v.r)), room) {
		if i > 0 {
			v.line("%*s%s", len(label), "", l)
			continue
		}
		action := string(d.Applied)
		l = v.Style.Bold(v.Style.Paint(actionTone(d.Applied), action)) + strings.TrimPrefix(l, action)
		v.line("%s%s", v.Style.Bold(label), l)
	}
	if d.Override != nil {
		for _, l := range wrap(v.clean(explainOverride(&d)), room) {
			v.line("%*s%s", len(label), "", l)
		}
	}
	if d.Reply != nil && d.Applied != postseal.Accept {
		v.reply(d.Reply, len(label))
	}
}

// reply shows the reply to the SMTP client.
func (v *messageView) reply(r *postseal.Reply, indent int) {
	for i, text := range r.Lines {
		sep := "-"
		if i == len(r.Lines)-1 {
			sep = " "
		}
		code := fmt.Sprintf("%d%s%s ", r.Code, sep, r.Enhanced)
		for n, l := range wrap(v.clean(text), term.Width-indent-len(code)) {
			if n > 0 {
				code = strings.Repeat(" ", len(code))
			}
			v.line("%*s%s", indent, "", v.Style.Dim(code+l))
		}
	}
}

func (v *messageView) ref() string { return dashed(v.r.Ref) }

// dashed is a reference for people.
func dashed(ref string) string {
	if len(ref) == 8 {
		return ref[:4] + "-" + ref[4:]
	}
	return ref
}

func (v *messageView) foot() {
	took := time.Duration(v.r.Cost.Micros) * time.Microsecond
	text := fmt.Sprintf(" %s, %s · ref %s", Plural(v.r.Cost.DNSQueries, "DNS query", "DNS queries"), short(took), v.ref())
	if !v.Trace {
		text += " · every step: --trace"
	}
	text = v.Style.Text(text)
	right := fmt.Sprintf("[exit %d]", v.Exit)
	v.line("%s", v.Style.Dim(fmt.Sprintf("%s%*s", text, term.Width-term.Columns(text), right)))
}

// secondOpinion writes the results of the other libraries.
func (v *messageView) secondOpinion() {
	v.line("")
	v.line("%s", v.Style.Bold(" SECOND OPINION"))
	if len(v.Opinions) == 0 {
		v.line("   %s", v.Style.Dim("nothing to compare: no client address and no signature"))
	}
	for i := range v.Opinions {
		o := &v.Opinions[i]
		tone := term.Good
		switch {
		case o.Theirs == "":
			tone = term.Muted
		case !o.Known():
			tone = term.Bad
		case !o.Agrees:
			tone = term.Warn
		}
		prefix := " " + v.Style.Symbol(tone) + " "
		for _, l := range wrap(v.clean(o.String()), term.Width-3) {
			v.line("%s%s", prefix, l)
			prefix = "   "
		}
	}
}
