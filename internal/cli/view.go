package cli

import (
	"fmt"
	"strings"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/internal/secondopinion"
	"postseal/internal/term"
	"postseal/message"
	"postseal/spf"
)

// view writes one report for people.
type view struct {
	app   *app
	r     *postseal.Report
	e     envelope
	style term.Style
	path  string
	code  int
	width int // of the result column

	opinions []secondopinion.Opinion
}

const (
	methodWidth = 6
	maxOutside  = 400 // columns of one piece of text with outside words in it
)

func (v *view) write(f *verifyFlags, n int) {
	if v.app.flags.quiet {
		v.short()
		return
	}
	if n > 0 {
		v.line("")
	}
	v.width = v.resultWidth()
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

// short is the one line of --quiet.
func (v *view) short() {
	d := v.r.Decision
	v.line("%s  %s  %s  %s", v.style.Paint(actionTone(d.Applied), fmt.Sprintf("%-10s", d.Applied)), v.ref(),
		fmt.Sprintf("%-18s", d.Reason), v.clean(v.r.File))
}

func (v *view) line(format string, args ...any) {
	fmt.Fprintf(v.app.out, format+"\n", args...)
}

// clean makes text fit to show: our own signs in what the terminal knows, outside
// octets harmless.
func (v *view) clean(text string) string { return v.style.Clean(v.style.Text(text), maxOutside) }

// head tells which message it is.
func (v *view) head() {
	h := v.r.Header()
	from, subject := "(no From)", ""
	if i := h.Index("From"); i >= 0 {
		from = v.from(h.At(i).Value())
		if n := h.Count("From"); n > 1 {
			from += fmt.Sprintf(" and %d more", n-1)
		}
	}
	if i := h.Index("Subject"); i >= 0 {
		subject = message.DecodeText(h.At(i).Value(), 4*term.Width)
	}
	name := v.style.Clean(v.r.File, 60)
	room := term.Width - term.Columns(name) - len("   From: ")
	from = v.style.Clean(from, max(room, 30))
	line := v.style.Bold(name) + "   " + v.style.Dim("From:") + " " + from
	if subject == "" {
		v.line("%s", line)
		return
	}
	room -= term.Columns(from) + len("   Subject: ")
	subject = v.style.Clean(subject, max(room, 0))
	if room < min(term.Columns(subject), 20) || room <= 0 {
		v.line("%s", line)
		line, subject = strings.Repeat(" ", 2), v.style.Clean(message.DecodeText(h.At(h.Index("Subject")).Value(), 4*term.Width), term.Width-13)
	}
	v.line("%s   %s %s", line, v.style.Dim("Subject:"), subject)
}

// from shows the first author: its name decoded, its address as it is.
func (v *view) from(value []byte) string {
	mailboxes, err := message.ParseMailboxes(value)
	if err != nil || len(mailboxes) == 0 {
		return strings.TrimSpace(string(value))
	}
	m := mailboxes[0]
	text := "<" + m.Address() + ">"
	if name := m.DisplayName(60); name != "" {
		text = `"` + strings.ReplaceAll(name, `"`, "'") + `" ` + text
	}
	if len(mailboxes) > 1 {
		text += fmt.Sprintf(" and %d more", len(mailboxes)-1)
	}
	return text
}

func (v *view) envelope() {
	if v.e.derived == "" {
		return
	}
	v.line(" %s", v.style.Dim(v.style.Text(fmt.Sprintf("envelope   ip %s  helo %s  from <%s> — from the %s",
		v.e.ip, v.clean(v.e.helo), v.clean(v.e.from), v.clean(v.e.derived)))))
}

// result writes the first line of one method; right stands at the right edge.
func (v *view) result(tone term.Tone, method, result, text, right string) {
	line := " " + v.style.Symbol(tone) + " " + v.style.Bold(term.Pad(method, methodWidth)) + " " +
		v.style.Paint(tone, term.Pad(result, v.width)) + "  " + text
	if right != "" {
		gap := term.Width - term.Columns(line) - term.Columns(right)
		line += strings.Repeat(" ", max(gap, 3)) + v.style.Dim(right)
	}
	v.line("%s", line)
}

// detail writes text below a result, wrapped.
func (v *view) detail(text string) {
	indent := strings.Repeat(" ", 3+methodWidth+1+v.width+2)
	for _, l := range wrap(text, term.Width-len(indent)) {
		v.line("%s%s", indent, l)
	}
}

// wrap breaks text at spaces into lines of at most columns, where it can.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case term.Columns(line)+1+term.Columns(word) > columns:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

func (v *view) resultWidth() int {
	width := len("pass")
	grow := func(s string) { width = max(width, len(s)) }
	if len(v.r.SPF) == 0 {
		grow("skipped")
	} else {
		grow(string(v.r.SPF[0].Code))
	}
	for _, s := range v.r.DKIM {
		grow(string(s.Result))
	}
	grow(string(v.r.DMARC.Result))
	if v.r.IPRev != nil {
		grow(string(v.r.IPRev.Result))
	}
	return width
}

func (v *view) spf() {
	if len(v.r.SPF) == 0 {
		v.result(term.Muted, "SPF", "skipped", v.style.Dim("no client address"), "")
		return
	}
	s := v.r.SPF[0]
	text := v.clean(orWord(s.Domain, "(no domain)")) + v.style.Text(" ← ") + v.r.RemoteIP().String()
	v.result(spfTone(s.Code), "SPF", string(s.Code), text, fmt.Sprintf("%d/10 lookups", s.Lookups))
	v.detail(v.clean(spfStory(s)))
	if s.Explanation != "" {
		v.detail("the domain explains: " + v.clean(s.Explanation))
	}
	if len(v.r.SPF) > 1 && (v.r.SPF[1].Code != spf.None || v.app.flags.verbose) {
		helo := v.r.SPF[1]
		v.detail(v.clean(fmt.Sprintf("helo %s: %s", orWord(helo.Domain, "(none)"), helo.Code)))
	}
}

func (v *view) dkim() {
	if len(v.r.DKIM) == 0 {
		v.result(term.Muted, "DKIM", "none", v.style.Dim("no signature"), "")
		return
	}
	idWidth, algorithmWidth := 0, 0
	for i := range v.r.DKIM {
		s := &v.r.DKIM[i]
		idWidth = min(max(idWidth, term.Columns(v.signatureID(s))), 38)
		algorithmWidth = max(algorithmWidth, term.Columns(v.algorithm(s)))
	}
	for i := range v.r.DKIM {
		s := &v.r.DKIM[i]
		text := term.Pad(v.signatureID(s), idWidth) + "   " + term.Pad(v.algorithm(s), algorithmWidth) + "   "
		beside, below := dkimStory(s)
		v.result(dkimTone(s.Result), "DKIM", string(s.Result), text+v.clean(beside), "")
		if below != "" {
			v.detail(v.clean(below))
		}
	}
}

func (v *view) signatureID(s *dkim.Signature) string {
	return v.style.Clean("d="+s.Domain+" s="+s.Selector, 60)
}

func (v *view) algorithm(s *dkim.Signature) string {
	text := v.style.Clean(s.Algorithm, 20)
	if s.KeyBits > 0 && strings.HasPrefix(s.Algorithm, "rsa") {
		text += fmt.Sprintf(" %d", s.KeyBits)
	}
	return text
}

func (v *view) dmarc() {
	d := &v.r.DMARC
	text := v.clean(orWord(d.AuthorDomain, "(no author domain)"))
	if p := publishedText(d.Published); p != "" {
		text += " " + v.clean(p)
	}
	right := ""
	if d.PolicyDomain != "" {
		right = v.style.Clean("_dmarc."+d.PolicyDomain, 40) + ", " + plural(d.Queries, "query", "queries")
	}
	v.result(dmarcTone(d), "DMARC", string(d.Result), text, right)
	for _, l := range alignmentStory(d, v.r.DKIM) {
		v.detail(v.clean(l))
	}
	if d.Problem != "" {
		v.detail(v.clean(d.Problem))
	}
}

func (v *view) arc() {
	a := v.r.ARC
	if a.Result == "" || a.Result == "none" {
		return
	}
	tone := term.Warn
	if a.Result == "fail" {
		tone = term.Bad
	}
	v.result(tone, "ARC", a.Result, v.clean(fmt.Sprintf("i=%d sealed by %s", a.Instances, strings.Join(a.Sealers, ", "))), "")
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
	reason := verdictStory(v.r)
	first := v.style.Bold(v.style.Paint(actionTone(d.Applied), string(d.Applied)))
	lines := wrap(v.clean(reason), term.Width-len(label)-len(d.Applied)-3)
	rest := ""
	if len(lines) > 0 {
		rest = v.style.Text(" — ") + lines[0]
		lines = wrap(strings.Join(lines[1:], " "), term.Width-len(label))
	}
	v.line("%s%s%s", v.style.Bold(label), first, rest)
	for _, l := range lines {
		v.line("%*s%s", len(label), "", l)
	}
	if o := d.Override; o != nil {
		text := strings.ReplaceAll(string(o.Type), "_", " ") + ": " + o.Comment
		for _, l := range wrap(v.clean("("+text+")"), term.Width-len(label)) {
			v.line("%*s%s", len(label), "", l)
		}
	}
	if r := d.Reply; r != nil && d.Applied != postseal.Accept {
		for i, l := range r.Lines {
			sep := "-"
			if i == len(r.Lines)-1 {
				sep = " "
			}
			v.line("%*s%s", len(label), "", v.style.Dim(v.clean(fmt.Sprintf("%d%s%s %s", r.Code, sep, r.Enhanced, l))))
		}
	}
}

func (v *view) ref() string {
	if len(v.r.Ref) == 8 {
		return v.r.Ref[:4] + "-" + v.r.Ref[4:]
	}
	return v.r.Ref
}

func (v *view) foot(f *verifyFlags) {
	took := time.Duration(v.r.Cost.Micros) * time.Microsecond
	text := fmt.Sprintf(" %s, %s · ref %s", plural(v.r.Cost.DNSQueries, "DNS query", "DNS queries"), duration2(took), v.ref())
	if !f.trace && len(v.path) <= 40 {
		text += " · more: postseal verify --trace " + v.style.Clean(v.path, 40)
	}
	right := fmt.Sprintf("[exit %d]", v.code)
	text = v.style.Text(text)
	gap := max(term.Width-term.Columns(text)-len(right), 3)
	v.line("%s", v.style.Dim(text+strings.Repeat(" ", gap)+right))
}

// duration2 shows d with two digits.
func duration2(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}
