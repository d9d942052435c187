package cli

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/term"
	"postseal/spf"
)

type lintProblem struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Offset   int    `json:"offset"`
	Message  string `json:"message"`
	Fix      string `json:"fix"`
	RFC      string `json:"rfc"`
}

func (a *app) lintCommand() *cobra.Command {
	sub := func(name, what string, lint func(string) []lintProblem) *cobra.Command {
		return &cobra.Command{
			Use:   name + " [TEXT|-]",
			Short: "Check the text of " + what,
			Args:  atMostOne,
			RunE: func(_ *cobra.Command, args []string) error {
				text, err := a.lintText(args)
				if err != nil {
					return err
				}
				return a.lint(name, text, lint(text))
			},
		}
	}
	c := a.group("lint", "Check the text of a record before it is published",
		sub("spf", "an SPF record", lintSPF), sub("dkim", "a DKIM key record", lintDKIM), sub("dmarc", "a DMARC record", lintDMARC), a.lintZoneCommand())
	c.Long = `Lint checks the text of a record without asking the DNS. The text is an argument, or
standard input with -.

Exit codes: 0 no error, 1 errors, 65 no text.`
	return c
}

const maxRecord = 64 << 10

func (a *app) lintText(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		if strings.TrimSpace(args[0]) == "" {
			return "", failf(exitData, "the text of the record is empty").or("give it as one line without quotes")
		}
		return args[0], nil
	}
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxRecord+1))
	switch {
	case err != nil:
		return "", failf(exitNoInput, "<stdin>: %v", err)
	case len(data) > maxRecord:
		return "", failf(exitData, "<stdin>: no record is longer than 64 KiB")
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", failf(exitData, "<stdin>: is empty").or("give the text of the record, as one line without quotes")
	}
	return text, nil
}

func lintSPF(text string) []lintProblem {
	var list []lintProblem
	for _, p := range spf.Lint(text) {
		list = append(list, lintProblem{p.ID, string(p.Severity), p.Offset, p.Message, p.Fix, p.RFC})
	}
	return list
}

func lintDMARC(text string) []lintProblem {
	var list []lintProblem
	for _, p := range dmarc.Lint(text) {
		list = append(list, lintProblem{p.ID, string(p.Severity), p.Offset, p.Message, p.Fix, p.RFC})
	}
	return list
}

func lintDKIM(text string) []lintProblem {
	var list []lintProblem
	for _, p := range dkim.Lint(text) {
		list = append(list, lintProblem{p.ID, string(p.Severity), p.Offset, p.Message, p.Fix, p.RFC})
	}
	return list
}

type lintJSON struct {
	Schema   string        `json:"schema"`
	Kind     string        `json:"kind"`
	Text     string        `json:"text"`
	Problems []lintProblem `json:"problems"`
}

func (a *app) lint(what, text string, problems []lintProblem) error {
	for _, p := range problems {
		if p.Severity == "error" || p.Severity == "critical" {
			a.raise(exitNo)
		}
	}
	if a.wantJSON() {
		return a.json(lintJSON{"postseal.lint/1", what, text, append([]lintProblem{}, problems...)})
	}
	v := &view{app: a, style: a.style}
	if len(problems) == 0 {
		v.line(" %s nothing to mend", v.style.Symbol(term.Good))
		return nil
	}
	for _, p := range problems {
		v.problem(&p, text)
	}
	return nil
}

func (v *view) problem(p *lintProblem, text string) {
	tone := map[string]term.Tone{"critical": term.Bad, "error": term.Bad, "warn": term.Warn}[p.Severity]
	v.line(" %s %s  %s", v.style.Symbol(tone), v.style.Bold(p.ID), v.style.Dim(p.Severity+", RFC "+v.style.Text(p.RFC)))
	if v.app.flags.quiet {
		return
	}
	for _, l := range wrap(v.clean(p.Message), term.Width-3) {
		v.line("   %s", l)
	}
	if p.Offset > 0 {
		excerpt, column := v.excerpt(text, p.Offset, 3)
		v.line("   %s", v.style.Dim(excerpt))
		v.line("   %*s%s", column, "", v.style.Paint(tone, "^"))
	}
	for _, l := range wrap(v.clean("fix: "+p.Fix), term.Width-3) {
		v.line("   %s", l)
	}
}

// excerpt is the part of text around offset that fits a line behind an indent, and the
// column of offset.
func (v *view) excerpt(text string, offset, indent int) (string, int) {
	room := term.Width - indent
	offset = min(offset, len(text))
	before, start := v.style.Clean(text[:offset], 0), 0
	for term.Columns(before) > room*2/3 {
		start += (offset - start + 7) / 8
		for start < offset && !utf8.RuneStart(text[start]) {
			start++
		}
		before = v.style.Text("…") + v.style.Clean(text[start:offset], 0)
	}
	column := term.Columns(before)
	return before + v.style.Clean(text[offset:], room-column), column
}
