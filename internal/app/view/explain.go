package view

import (
	"cmp"
	"strings"

	"postseal/internal/app/explain"
	"postseal/internal/app/term"
)

var tones = map[explain.Tone]term.Tone{explain.Good: term.Good, explain.Warn: term.Warn, explain.Bad: term.Bad, explain.Plain: term.Muted}

// Explanation is the explanation of a verdict, and its source.
type Explanation struct {
	*explain.Explanation
	File        string
	Missing     []string // queries that the bundle does not answer
	Differences []string // differences from what the bundle expects
}

// Explain writes an explanation.
func (p *Page) Explain(s *Explanation) error {
	if p.JSON() {
		return p.Object(explain.NewDocument(s.File, s.Explanation, s.Differences, s.Missing))
	}
	p.explanation(s.Explanation)
	for _, m := range s.Missing {
		p.line(" %s %s", p.Style.Symbol(term.Warn), p.clean("the bundle has no answer to "+m+": the original decision may have been different"))
	}
	for _, d := range s.Differences {
		p.line(" %s %s", p.Style.Symbol(term.Warn), p.clean("the original decision was different: "+d))
	}
	return nil
}

func (p *Page) explanation(s *explain.Explanation) {
	p.line(" %s  %s", p.Style.Bold("VERDICT "+dashed(s.Ref)), p.Style.Paint(actionTone(s.Applied), string(s.Applied)))
	p.line("          %s", p.Style.Dim(p.clean(origin(s))))
	for _, n := range s.Chapters {
		p.line("")
		p.chapter(n)
	}
	p.line("")
	text := cmp.Or(s.Change, "nothing")
	lines := wrap(p.clean(text), term.Width-len(" TO CHANGE  "))
	for i, l := range lines {
		if i == 0 {
			p.line(" %s  %s", p.Style.Bold("TO CHANGE"), l)
			continue
		}
		p.line("%*s%s", len(" TO CHANGE  "), "", l)
	}
}

// origin says which message it was.
func origin(s *explain.Explanation) string {
	text := s.At.Format("2006-01-02 15:04:05 UTC")
	if s.QueueID != "" {
		text += " · queue id " + s.QueueID
	}
	if s.Client != "" {
		text += " · client " + s.Client
	}
	return text
}

func (p *Page) chapter(n *explain.Node) {
	p.step(n, " ", p.Style.Bold(p.clean(n.Title)))
	p.steps(n.Steps, " ")
}

func (p *Page) steps(steps []*explain.Node, indent string) {
	for i, n := range steps {
		branch, below := "├─ ", "│  "
		if i == len(steps)-1 {
			branch, below = "└─ ", "   "
		}
		p.step(n, indent+p.Style.Text(branch), p.clean(n.Title))
		p.steps(n.Steps, indent+p.Style.Text(below))
	}
}

// step writes one line: its symbol, title and text, and at the right edge the rule. Text that
// does not fit continues below.
func (p *Page) step(n *explain.Node, prefix, title string) {
	sign := p.Style.Symbol(tones[n.Tone])
	head := prefix + sign + " " + title + "  "
	right := ""
	if n.RFC != "" {
		right = "RFC " + n.RFC
	}
	room := term.Width - term.Columns(head) - len(right) - 2
	text := p.clean(n.Text)
	first := ""
	if lines := wrap(text, max(room, 24)); len(lines) > 0 {
		first = lines[0]
	}
	rest := strings.TrimSpace(strings.TrimPrefix(text, first))
	if !n.Path && n.Tone == explain.Plain {
		first = p.Style.Dim(first)
	}
	line := head + first
	if gap := term.Width - term.Columns(line) - len(right); right != "" {
		line += strings.Repeat(" ", max(gap, 2)) + p.Style.Dim(right)
	}
	p.line("%s", strings.TrimRight(line, " "))
	indent := strings.Repeat(" ", min(term.Columns(head), 40))
	for _, l := range wrap(rest, term.Width-len(indent)) {
		p.line("%s%s", indent, l)
	}
}
