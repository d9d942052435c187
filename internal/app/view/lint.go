package view

import (
	"unicode/utf8"

	"postseal/audit"
	"postseal/internal/app/term"
	"postseal/lint"
)

type lintJSON struct {
	Schema   string         `json:"schema"`
	Kind     string         `json:"kind"`
	Text     string         `json:"text"`
	Problems []lint.Problem `json:"problems"`
}

// Lint writes the problems of text, a record of the given kind.
func (p *Page) Lint(kind, text string, problems []lint.Problem) error {
	if p.JSON() {
		return p.Object(lintJSON{"postseal.lint/1", kind, text, append([]lint.Problem{}, problems...)})
	}
	if len(problems) == 0 {
		p.line(" %s nothing to fix", p.Style.Symbol(term.Good))
	}
	for i := range problems {
		p.problem(&problems[i], text)
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
