package view

import (
	"fmt"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/history"
	"postseal/internal/app/term"
)

// historyTime is the time format: UTC.
const historyTime = "2006-01-02 15:04:05"

// Verdicts writes a page of verdicts, the newest first.
func (p *Page) Verdicts(h *history.Page) error {
	if p.Format == "json" {
		return p.Object(h)
	}
	for i := range h.Verdicts {
		if err := p.Verdict(&h.Verdicts[i]); err != nil {
			return err
		}
	}
	return p.flush()
}

// Verdict writes one verdict of the history: an object, or a line.
func (p *Page) Verdict(v *history.Verdict) error {
	if p.JSON() {
		return p.Object(v)
	}
	tone := actionTone(postseal.Action(v.Applied))
	was := ""
	if v.Action != v.Applied {
		was = p.Style.Dim(" (" + v.Action + ")")
	}
	times := ""
	if v.N > 1 {
		times = p.Style.Text(fmt.Sprintf(" ×%d", v.N))
	}
	head := fmt.Sprintf("%s %s %s%s%s", p.Style.Dim(v.At.Format(historyTime)), p.Style.Symbol(tone), p.Style.Paint(tone, v.Applied), was, times)
	names := p.Style.Sanitize(dashes(v.Author), 60) + " from " + p.Style.Sanitize(dashes(v.MailFrom), 60) + p.Style.Dim(" at "+p.clean(dashes(v.Client)))
	p.line("%s  %s  %s", head, names, p.Style.Dim(p.clean(strings.TrimSpace(dashed(v.Ref)+" "+v.QID))))
	if p.Quiet {
		return nil
	}
	p.line("    %s", p.clean(v.Reason+": "+v.Text))
	if p.Verbose {
		p.line("    %s", p.Style.Dim(p.clean(fmt.Sprintf("SPF %s %s · DKIM %s · ARC %s · DMARC %s p=%s %s · iprev %s · helo %s · %s · %s", v.SPF, v.SPFDomain, signatureList(v.Signatures),
			v.ARC, v.DMARC, dashes(v.Policy), v.PolicyDomain, dashes(v.IPRev), dashes(v.Helo), v.Door, short(time.Duration(v.Millis)*time.Millisecond)))))
	}
	return nil
}

// dashes represents an empty value.
func dashes(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func signatureList(list []history.Signature) string {
	if len(list) == 0 {
		return "none"
	}
	parts := make([]string, len(list))
	for i, s := range list {
		if parts[i] = s.Result + ":" + s.Domain + "/" + s.Selector; s.Reason != "" {
			parts[i] += "(" + s.Reason + ")"
		}
	}
	return strings.Join(parts, ",")
}

// Lost writes the verdicts that are known to be missing.
func (p *Page) Lost(l *history.Lost) {
	n := "an unknown number of verdicts"
	if l.Count >= 0 {
		n = Plural(int(l.Count), "verdict", "verdicts")
	}
	p.line(" %s %s", p.Style.Symbol(term.Warn), p.clean(fmt.Sprintf("%s: %s lost (%s, %s, %s to %s)", l.Day, n, l.Reason, l.Node, l.First.Format(time.TimeOnly), l.Last.Format(time.TimeOnly))))
}

// StoreStatus writes the state of the store.
func (p *Page) StoreStatus(s *history.Status) error {
	if p.JSON() {
		return p.Object(s)
	}
	p.line("%s     %s", p.Style.Bold("store"), p.clean(fmt.Sprintf("%s, schema %d, store %.8s…   %s, %s, %s", s.Engine, s.Schema, s.Store,
		Plural(s.Days, "day", "days"), Plural(int(s.Verdicts), "verdict", "verdicts"), size(s.Bytes))))
	if s.Days > 0 {
		p.line("          %s", p.clean("from "+s.Oldest+" to "+s.Newest))
	}
	for _, n := range s.Nodes {
		tone, note := term.Good, ""
		if n.Behind {
			tone, note = term.Warn, "  not up to date"
		}
		if n.Skew != nil {
			if skew := skewText(*n.Skew); skew != "" {
				tone, note = term.Warn, note+skew
			}
		}
		shipped := "nothing shipped yet"
		if n.ShippedUntil.After(time.Unix(0, 0)) {
			shipped = fmt.Sprintf("shipped to %s (%s ago)", n.ShippedUntil.Format(historyTime), lagOf(time.Duration(n.Lag*float64(time.Second))))
		}
		p.line("%s      %s", p.Style.Bold("node"), p.clean(fmt.Sprintf("%s  slot %d  version %s  %s  lost %d", n.Name, n.Slot, dashes(n.Version), shipped, n.Lost))+p.Style.Paint(tone, note))
	}
	if s.Clock != "" {
		p.line(" %s %s", p.Style.Symbol(term.Warn), p.clean(s.Clock))
	}
	for i := range s.Lost {
		p.Lost(&s.Lost[i])
	}
	return nil
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// KnownDomain writes what this server knows about a domain.
func (p *Page) KnownDomain(d *history.Domain) error {
	if p.JSON() {
		return p.Object(d)
	}
	p.line("%s", p.Style.Bold(p.clean(d.Domain)))
	if len(d.Days) > 0 {
		p.line(" %s", p.Style.Bold(fmt.Sprintf("%-12s%10s%12s%10s%10s", "as author", "accept", "quarantine", "reject", "defer")))
	}
	for _, c := range d.Days {
		p.line(" %-12s%10s%12s%10s%10s", c.Day, Count(c.Accept), Count(c.Quarantine), Count(c.Reject), Count(c.Defer))
	}
	p.values("sent by", d.Sources)
	p.values("because", d.Reasons)
	for _, s := range d.Selectors {
		verified := "verified"
		if !s.Verified {
			verified = "never verified"
		}
		p.line(" %s %s", p.Style.Bold("selector"), p.clean(fmt.Sprintf("%s of %s  %s %d bits, %s  %s", s.Selector, s.Domain, s.Algorithm, s.Bits, verified, span(s.First, s.Last))))
	}
	for _, r := range d.Policies {
		p.record("policy", r)
	}
	for _, r := range d.Records {
		p.record("record", r)
	}
	return nil
}

func (p *Page) values(title string, values []history.Value) {
	const most = 10
	for i, v := range values {
		if i == most {
			p.line(" %s %s", p.Style.Bold(title), p.clean(fmt.Sprintf("… %d more", len(values)-most)))
			return
		}
		p.line(" %s %s %s", p.Style.Bold(title), p.Style.Sanitize(v.Value, 60), Count(v.Count))
	}
}

func (p *Page) record(title string, r history.SeenRecord) {
	p.line(" %s %s", p.Style.Bold(title), p.clean(r.Name+"  "+span(r.First, r.Last)))
	for _, text := range r.Texts {
		for _, l := range wrap(p.clean(text), term.Width-4) {
			p.line("    %s", l)
		}
	}
}

func span(first, last time.Time) string {
	a, b := first.Format(time.DateOnly), last.Format(time.DateOnly)
	if a == b {
		return a
	}
	return a + " to " + b
}

// Note writes one line.
func (p *Page) Note(text string) { p.line("%s", p.clean(text)) }

// Notef formats and writes one line.
func (p *Page) Notef(format string, args ...any) { p.Note(fmt.Sprintf(format, args...)) }

// lagOf formats how late a node is.
func lagOf(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return short(d)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
