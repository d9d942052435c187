package view

import (
	"unicode/utf8"

	"postseal/audit"
	"postseal/internal/app/term"
	"postseal/lint"
)

// Lint is what is known of the text of a record.
type Lint struct {
	Kind     string         `json:"kind"` // spf, dkim or dmarc
	Text     string         `json:"text"`
	Problems []lint.Problem `json:"problems"`
	Publish  string         `json:"publish,omitempty"`   // the record without those problems that can be corrected
	NoRecord string         `json:"no_record,omitempty"` // why there is none
}

type lintJSON struct {
	Schema string `json:"schema"`
	*Lint
}

// Lint writes the problems of a record, and the record to publish.
func (p *Page) Lint(l *Lint) error {
	l.Problems = append([]lint.Problem{}, l.Problems...)
	if p.JSON() {
		return p.Object(lintJSON{"postseal.lint/1", l})
	}
	if len(l.Problems) == 0 {
		p.line(" %s nothing to fix", p.Style.Symbol(term.Good))
	}
	for i := range l.Problems {
		p.problem(&l.Problems[i], l.Text)
	}
	if l.Publish != "" {
		p.line(" %s", p.Style.Green("publish"))
		p.line("   %s", p.uncut(l.Publish))
		for _, text := range wrap(stringsNote(l.Publish), term.Width-3) {
			p.line("   %s", p.Style.Dim(text))
		}
	}
	if l.NoRecord != "" && !p.Quiet {
		for _, text := range wrap(p.clean("no record to publish: "+l.NoRecord), term.Width-1) {
			p.line(" %s", text)
		}
	}
	return nil
}

type lintZoneJSON struct {
	Schema   string          `json:"schema"`
	File     string          `json:"file"`
	Findings []audit.Finding `json:"findings"`
}

// LintZone writes the findings about the zone file at path.
func (p *Page) LintZone(path string, findings []audit.Finding) error {
	if p.JSON() {
		return p.Object(lintZoneJSON{"postseal.lint-zone/1", path, append([]audit.Finding{}, findings...)})
	}
	v := &auditView{Page: p, report: &audit.Report{}}
	if len(findings) == 0 {
		v.line(" %s nothing to fix", v.Style.Symbol(term.Good))
	}
	for i := range findings {
		v.line(" %s", v.Style.Dim(v.clean(findings[i].Where.Name)))
		v.finding(&findings[i])
	}
	return nil
}

func (p *Page) problem(problem *lint.Problem, text string) {
	tone := map[lint.Severity]term.Tone{lint.Critical: term.Bad, lint.Error: term.Bad, lint.Warning: term.Warn}[problem.Severity]
	p.line(" %s %s  %s", p.Style.Symbol(tone), p.Style.Bold(problem.ID), p.Style.Dim(string(problem.Severity)+", RFC "+p.Style.Text(problem.RFC)))
	if p.Quiet {
		return
	}
	for _, l := range wrap(p.clean(problem.Message), term.Width-3) {
		p.line("   %s", l)
	}
	if problem.Offset > 0 {
		excerpt, column := p.excerpt(text, problem.Offset, 3)
		p.line("   %s", p.Style.Dim(excerpt))
		p.line("   %*s%s", column, "", p.Style.Paint(tone, "^"))
	}
	for _, l := range wrap(p.clean("fix: "+problem.Fix), term.Width-3) {
		p.line("   %s", l)
	}
}

// excerpt returns the part of text around offset that fits a line after an indent, and the
// column of offset.
func (p *Page) excerpt(text string, offset, indent int) (string, int) {
	room := term.Width - indent
	offset = min(offset, len(text))
	before, start := p.Style.Sanitize(text[:offset], 0), 0
	for term.Columns(before) > room*2/3 {
		start += (offset - start + 7) / 8
		for start < offset && !utf8.RuneStart(text[start]) {
			start++
		}
		before = p.Style.Text("…") + p.Style.Sanitize(text[start:offset], 0)
	}
	column := term.Columns(before)
	return before + p.Style.Sanitize(text[offset:], room-column), column
}
