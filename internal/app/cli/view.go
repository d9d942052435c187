package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/secondopinion"
	"postseal/internal/app/term"
	"postseal/message"
	"postseal/spf"
)

// view writes one report for people.
type view struct {
	app   *app
	r     *postseal.Report
	e     envelope
	style term.Style
	name  string // of the message
	code  int
	width int // of the result column

	opinions []secondopinion.Opinion
}

func (v *view) write(f *verifyFlags, n int) {
	if v.app.flags.quiet {
		v.one()
		return
	}
	if n > 0 {
		v.line("")
	}
	v.width = v.resultWidth(v.words()...)
	v.head()
	v.envelope()
	v.spf()
	v.dkim()
	v.dmarc()
	v.arc()
	v.iprev()
	v.forged()
	v.verdict()
	if f.trace {
		v.trace()
	}
	if f.opinion {
		v.secondOpinion()
	}
	v.foot(f)
}

// one is the line of --quiet.
func (v *view) one() {
	d := v.r.Decision
	v.line("%s  %s  %s  %s", v.style.Paint(actionTone(d.Applied), fmt.Sprintf("%-10s", d.Applied)), v.ref(),
		fmt.Sprintf("%-18s", d.Reason), v.clean(v.name))
}

// head tells which message it is: on one line where it fits, else a line a field.
func (v *view) head() {
	const gap = 3
	name := v.style.Clean(v.name, 60)
	indent := term.Columns(name) + gap
	if indent > term.Width/2 {
		indent = 2
	}
	from := v.style.Dim("From:") + " " + v.from(term.Width-indent-len("From: "))
	subject := v.subject(term.Width - indent - len("Subject: "))
	oneLine := v.style.Bold(name) + "   " + from
	if subject != "" {
		oneLine += "   " + subject
	}
	switch {
	case term.Columns(oneLine) <= term.Width:
		v.line("%s", oneLine)
		return
	case indent > 2:
		v.line("%s   %s", v.style.Bold(name), from)
	default:
		v.line("%s", v.style.Bold(name))
		v.line("%*s%s", indent, "", from)
	}
	if subject != "" {
		v.line("%*s%s", indent, "", subject)
	}
}

func (v *view) subject(room int) string {
	h := v.r.Header()
	i := h.Index("Subject")
	if i < 0 {
		return ""
	}
	return v.style.Dim("Subject:") + " " + v.style.Clean(message.DecodeText(h.At(i).Value(), 4*term.Width), room)
}

// from shows the first author: the name decoded and the address as it is. Where both
// have no room the name is cut, never the domain.
func (v *view) from(room int) string {
	h := v.r.Header()
	i := h.Index("From")
	if i < 0 {
		return "(no From)"
	}
	mailboxes, err := message.ParseMailboxes(h.At(i).Value())
	if err != nil || len(mailboxes) == 0 {
		return v.style.Clean(strings.TrimSpace(string(h.At(i).Value())), room)
	}
	more := ""
	if n := h.Count("From") + len(mailboxes) - 2; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	m := mailboxes[0]
	address := v.style.Clean("<"+m.Address()+">", 0) + more
	if left := room - term.Columns(address) - len(`"" `); left >= 8 && m.DisplayName(60) != "" {
		return `"` + v.style.Clean(strings.ReplaceAll(m.DisplayName(60), `"`, "'"), left) + `" ` + address
	}
	if at := strings.LastIndexByte(address, '@'); term.Columns(address) > room && at > 0 {
		address = v.style.Text("<…") + address[at:]
	}
	return v.style.Clean(address, room)
}

func (v *view) envelope() {
	if v.e.derived == nil {
		return
	}
	parts := append([]string{v.e.ip.String(), "helo " + orWord(v.e.helo, "(none)"), "from <" + v.e.from + ">"}, v.e.derived...)
	label := " envelope  "
	for _, l := range v.pack(parts, term.Width-len(label)) {
		v.line("%s", v.style.Dim(label+l))
		label = strings.Repeat(" ", len(label))
	}
}

// resultWidth is that of the longest result word.
func (v *view) resultWidth(words ...string) int {
	width := len("pass")
	for _, w := range words {
		width = max(width, len(w))
	}
	return width
}

// words are all results that a report shows.
func (v *view) words() []string {
	list := append(v.dkimWords(), string(v.r.DMARC.Result))
	if len(v.r.SPF) == 0 {
		return append(list, "skipped")
	}
	list = append(list, string(v.r.SPF[0].Code))
	if v.r.IPRev != nil {
		list = append(list, string(v.r.IPRev.Result))
	}
	return list
}

func (v *view) dkimWords() []string {
	var list []string
	for i := range v.r.DKIM {
		list = append(list, string(v.r.DKIM[i].Result))
	}
	return list
}

func (v *view) spf() {
	if len(v.r.SPF) == 0 {
		v.result(term.Muted, "SPF", "skipped", v.style.Dim("no client address"), "")
		return
	}
	v.oneSPF(&v.r.SPF[0], v.r.RemoteIP())
	if len(v.r.SPF) > 1 && (v.r.SPF[1].Code != spf.None || v.app.flags.verbose) {
		helo := v.r.SPF[1]
		v.detail(v.clean(fmt.Sprintf("helo %s: %s", orWord(helo.Domain, "(none)"), helo.Code)))
	}
}

func (v *view) oneSPF(s *spf.Result, client netip.Addr) {
	text := v.clean(orWord(s.Domain, "(no domain)") + " ← " + client.String())
	v.result(resultTone(string(s.Code)), "SPF", string(s.Code), text, fmt.Sprintf("%d/10 lookups", s.Lookups))
	v.detail(v.clean(spfStory(s)))
	if s.Explanation != "" {
		v.detail("the domain explains: " + v.clean(s.Explanation))
	}
}

func (v *view) dkim() {
	if len(v.r.DKIM) == 0 {
		v.result(term.Muted, "DKIM", "none", v.style.Dim("no signature"), "")
		return
	}
	idWidth, algorithmWidth, storyWidth := 0, 0, 0
	for i := range v.r.DKIM {
		s := &v.r.DKIM[i]
		idWidth = max(idWidth, term.Columns(v.signatureID(s)))
		algorithmWidth = max(algorithmWidth, term.Columns(v.algorithm(s)))
		storyWidth = max(storyWidth, term.Columns(v.clean(dkimStory(s))))
	}
	beside := idWidth+2+algorithmWidth+2+storyWidth <= v.room()
	for i := range v.r.DKIM {
		s := &v.r.DKIM[i]
		text := term.Pad(v.signatureID(s), idWidth) + "  " + term.Pad(v.algorithm(s), algorithmWidth)
		if beside {
			text += "  " + v.clean(dkimStory(s))
		}
		v.result(resultTone(string(s.Result)), "DKIM", string(s.Result), strings.TrimRight(text, " "), "")
		if !beside {
			v.detail(v.clean(dkimStory(s)))
		}
		if s.Result == dkim.Pass && s.TestMode {
			v.detail("the key is in test mode (t=y)")
		}
		if s.Diagnosis.Text != "" {
			v.detail(v.clean(s.Diagnosis.Text))
		}
	}
}

// signatureID leaves room for the algorithm.
func (v *view) signatureID(s *dkim.Signature) string {
	return v.style.Clean("d="+s.Domain+" s="+s.Selector, v.room()-20)
}

func (v *view) algorithm(s *dkim.Signature) string {
	text := v.style.Clean(s.Algorithm, 15)
	if s.KeyBits > 0 && strings.HasPrefix(s.Algorithm, "rsa") {
		text += fmt.Sprintf(" %d", s.KeyBits)
	}
	return text
}

func (v *view) dmarc() {
	d := &v.r.DMARC
	text := orWord(d.AuthorDomain, "(no author domain)")
	if p := publishedText(d.Published); p != "" {
		text += " " + p
	}
	v.result(dmarcTone(d), "DMARC", string(d.Result), v.clean(text), v.whose(d))
	v.details(comparedStories(d))
	if d.Result != dmarc.Pass {
		v.details(brokenStories(d, v.r.DKIM))
	}
	switch {
	case d.Problem != "":
		v.detail(v.clean(d.Problem))
	case d.Reason == dmarc.NoIdentifier:
		v.detail("nothing is authenticated that could align")
	}
}

// whose says where the policy was found, and with how many questions.
func (v *view) whose(d *dmarc.Result) string {
	if d.PolicyDomain == "" {
		return ""
	}
	return v.style.Clean("_dmarc."+d.PolicyDomain, 50) + ", " + plural(d.Queries, "query", "queries")
}

func (v *view) arc() {
	a := v.r.ARC
	if a.Result == "" || a.Result == string(arc.None) {
		return
	}
	tone, beside := term.Warn, "not in trusted_sealers"
	switch {
	case a.Result == string(arc.Fail):
		tone, beside = term.Bad, ""
	case a.Trusted:
		tone, beside = term.Good, "in trusted_sealers"
	}
	v.result(tone, "ARC", a.Result, v.clean(arcStory(&a)), beside)
	if a.Problem != "" {
		v.detail(v.clean(a.Problem))
	}
	if a.OldestPass > 0 {
		v.detail(fmt.Sprintf("changed before i=%d: the older signatures do not hold", a.OldestPass))
	}
}

func (v *view) iprev() {
	i := v.r.IPRev
	if i == nil {
		return
	}
	switch i.Result {
	case postseal.IPRevPass:
		v.result(term.Good, "IPREV", "pass", v.clean(i.Name), "")
	case postseal.IPRevFail:
		v.result(term.Warn, "IPREV", "fail", v.clean(i.Name)+" does not resolve back to the client", "")
	case postseal.IPRevPermError:
		v.result(term.Muted, "IPREV", string(i.Result), v.style.Dim("the client's address has no name"), "")
	default:
		v.result(term.Warn, "IPREV", string(i.Result), "the name of the client cannot be looked up now", "")
	}
}

func (v *view) forged() {
	for _, ref := range v.r.Headers.Remove {
		v.result(term.Warn, "HEADER", "remove", fmt.Sprintf("%s no. %d pretends to be ours", v.clean(ref.Name), ref.Index), "")
	}
}

func (v *view) verdict() {
	d := v.r.Decision
	const label = " VERDICT  "
	room := term.Width - len(label)
	for i, l := range wrap(v.clean(string(d.Applied)+" — "+verdictStory(v.r)), room) {
		if i > 0 {
			v.line("%*s%s", len(label), "", l)
			continue
		}
		action := string(d.Applied)
		l = v.style.Bold(v.style.Paint(actionTone(d.Applied), action)) + strings.TrimPrefix(l, action)
		v.line("%s%s", v.style.Bold(label), l)
	}
	if d.Override != nil {
		for _, l := range wrap(v.clean(overrideStory(&d)), room) {
			v.line("%*s%s", len(label), "", l)
		}
	}
	if d.Reply != nil && d.Applied != postseal.Accept {
		v.reply(d.Reply, len(label))
	}
}

// reply shows what an SMTP client would be told.
func (v *view) reply(r *postseal.Reply, indent int) {
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
			v.line("%*s%s", indent, "", v.style.Dim(code+l))
		}
	}
}

func (v *view) ref() string { return dashed(v.r.Ref) }

// dashed is a reference for people.
func dashed(ref string) string {
	if len(ref) == 8 {
		return ref[:4] + "-" + ref[4:]
	}
	return ref
}

func (v *view) foot(f *verifyFlags) {
	took := time.Duration(v.r.Cost.Micros) * time.Microsecond
	text := fmt.Sprintf(" %s, %s · ref %s", plural(v.r.Cost.DNSQueries, "DNS query", "DNS queries"), short(took), v.ref())
	if !f.trace {
		text += " · every step: --trace"
	}
	text = v.style.Text(text)
	right := fmt.Sprintf("[exit %d]", v.code)
	v.line("%s", v.style.Dim(fmt.Sprintf("%s%*s", text, term.Width-term.Columns(text), right)))
}
