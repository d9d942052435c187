package view

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"postseal/internal/app/inbox"
	"postseal/internal/app/term"
)

// shownSources is how many sources of a class the text shows.
const shownSources = 20

var classTones = map[string]term.Tone{inbox.ClassKnown: term.Good, inbox.ClassNew: term.Warn, inbox.ClassUnknown: term.Warn, inbox.ClassList: term.Muted, inbox.ClassForged: term.Muted}

// Summary writes what reports say of a domain.
func (p *Page) Summary(s *inbox.Summary) error {
	if p.JSON() {
		return p.Object(s)
	}
	p.line(" %s  %s to %s UTC, %s of %s on %s; p=%s", p.Style.Bold(p.clean(s.Domain)), s.Since, s.Until, count(s.Reports, "report"), count(s.Reporters, "reporter"), Plural(s.Days, "day", "days"), p.clean(dashes(s.Policy)))
	if s.Total.Messages == 0 {
		p.line("   no report says anything of this domain in this time")
	} else {
		t := &s.Total
		p.line("   %s: %s pass DMARC (SPF %s, DKIM %s); quarantined %d, rejected %d", count64(t.Messages, "message"), share(t.DMARC, t.Messages), share(t.SPF, t.Messages), share(t.DKIM, t.Messages), t.Quarantined, t.Rejected)
	}
	if s.Unproven > 0 {
		p.line("   %s %s", p.Style.Symbol(term.Warn), p.clean(count(s.Unproven, "report")+" not counted: the mail that brought them does not prove who sent them"))
	}
	if s.Long > 0 {
		p.line("   %s %s", p.Style.Symbol(term.Warn), p.clean(count(s.Long, "report")+" not counted: they cover more than two days"))
	}
	p.sources(s)
	for i := range s.Readiness {
		p.readiness(&s.Readiness[i])
	}
	return nil
}

// share is a percentage that is 0 or 100 only where that is exact.
func share(n, of int64) string {
	if of == 0 {
		return "0 %"
	}
	switch p := 100 * float64(n) / float64(of); {
	case n > 0 && p < 0.05:
		return "<0.1 %"
	case n < of && p >= 99.95:
		return ">99.9 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

func (p *Page) sources(s *inbox.Summary) {
	if len(s.Sources) == 0 {
		return
	}
	p.line("")
	p.line("   %s", p.Style.Dim(fmt.Sprintf("%-34s %9s %8s %8s %8s  %s", "source", "messages", "DMARC", "SPF", "DKIM", "class")))
	shown, left := map[string]int{}, map[string]int{}
	for i := range s.Sources {
		x := &s.Sources[i]
		if shown[x.Class]++; shown[x.Class] > shownSources && !p.Verbose {
			left[x.Class]++
			continue
		}
		p.line(" %s %s %9d %8s %8s %8s  %s", p.Style.Symbol(classTones[x.Class]), term.Pad(p.Style.Sanitize(x.Name+" ("+x.By+")", 34), 34), x.Messages, share(x.DMARC, x.Messages), share(x.SPF, x.Messages), share(x.DKIM, x.Messages), x.Class)
		if p.Verbose {
			p.line("     %s", p.Style.Dim(p.clean(fmt.Sprintf("%s; %s, such as %s; %s to %s", x.Rule, Plural(x.Nets, "network", "networks"), x.IP, x.First, x.Last))))
		}
	}
	for _, c := range inbox.Classes {
		if left[c] > 0 {
			p.line("     and %s (-v shows all, with the rule for each)", Plural(left[c], c+" source", c+" sources"))
		}
	}
}

func (p *Page) readiness(r *inbox.Readiness) {
	p.line("")
	if r.Ready {
		p.line(" %s %s", p.Style.Symbol(term.Good), p.Style.Bold("ready for p="+r.Policy))
	} else {
		p.line(" %s %s", p.Style.Symbol(term.Warn), p.Style.Bold("not ready for p="+r.Policy))
	}
	for _, b := range r.Blockers {
		for i, l := range wrap(p.clean(b), term.Width-7) {
			mark := "-"
			if i > 0 {
				mark = " "
			}
			p.line("   %s %s", mark, l)
		}
	}
	for _, a := range r.Arithmetic {
		p.line("     %s", p.Style.Dim(p.clean(a)))
	}
}

// SummaryCSV writes one line for each source.
func SummaryCSV(w io.Writer, s *inbox.Summary) error {
	c := csv.NewWriter(w)
	c.Write([]string{"domain", "since", "until", "source", "by", "class", "rule", "messages", "dmarc", "spf", "dkim", "quarantined", "rejected", "networks", "first", "last", "ip"}) //nolint:errcheck // Flush tells
	for i := range s.Sources {
		x := &s.Sources[i]
		n := func(v int64) string { return strconv.FormatInt(v, 10) }
		c.Write([]string{formula(s.Domain), s.Since, s.Until, formula(x.Name), x.By, x.Class, formula(x.Rule), n(x.Messages), n(x.DMARC), n(x.SPF), n(x.DKIM), n(x.Quarantined), n(x.Rejected), strconv.Itoa(x.Nets), x.First, x.Last, x.IP}) //nolint:errcheck // Flush tells
	}
	c.Flush()
	return c.Error()
}

// formula keeps a spreadsheet from taking text for a formula.
func formula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// Digest writes what changed: nothing where nothing did.
func (p *Page) Digest(d *inbox.Digest) error {
	if p.JSON() {
		return p.Object(d)
	}
	for _, c := range d.Changes {
		text := c.Text
		if c.Domain != "" {
			text = c.Domain + ": " + text
		}
		for i, l := range wrap(p.clean(text), term.Width-3) {
			mark := p.Style.Symbol(term.Warn)
			if c.What == "ready" {
				mark = p.Style.Symbol(term.Good)
			}
			if i > 0 {
				mark = " "
			}
			p.line(" %s %s", mark, l)
		}
	}
	return nil
}
