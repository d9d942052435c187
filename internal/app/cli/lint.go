package cli

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/term"
	"postseal/lint"
	"postseal/spf"
)

func (a *app) lintCommand() *cobra.Command {
	sub := func(name, what string, check func(string) []lint.Problem) *cobra.Command {
		return &cobra.Command{
			Use:   name + " [TEXT|-]",
			Short: "Check the text of " + what,
			Args:  atMostOne,
			RunE: func(_ *cobra.Command, args []string) error {
				text, err := a.lintText(args)
				if err != nil {
					return err
				}
				return a.lint(name, text, check(text))
			},
		}
	}
	c := a.group("lint", "Check the text of a record before it is published",
		sub("spf", "an SPF record", spf.Lint), sub("dkim", "a DKIM key record", dkim.Lint), sub("dmarc", "a DMARC record", dmarc.Lint), a.lintZoneCommand())
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

type lintJSON struct {
	Schema   string         `json:"schema"`
	Kind     string         `json:"kind"`
	Text     string         `json:"text"`
	Problems []lint.Problem `json:"problems"`
}

func (a *app) lint(what, text string, problems []lint.Problem) error {
	for _, p := range problems {
		if p.Severity == lint.Error || p.Severity == lint.Critical {
			a.raise(exitNo)
		}
	}
	if a.wantJSON() {
		return a.json(lintJSON{"postseal.lint/1", what, text, append([]lint.Problem{}, problems...)})
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

func (v *view) problem(p *lint.Problem, text string) {
	tone := map[lint.Severity]term.Tone{lint.Critical: term.Bad, lint.Error: term.Bad, lint.Warning: term.Warn}[p.Severity]
	v.line(" %s %s  %s", v.style.Symbol(tone), v.style.Bold(p.ID), v.style.Dim(string(p.Severity)+", RFC "+v.style.Text(p.RFC)))
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
