package cli

import (
	"io"
	"strconv"
	"strings"

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
			Args:  cobra.MaximumNArgs(1),
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
		sub("spf", "an SPF record", lintSPF), sub("dkim", "a DKIM key record", lintDKIM), sub("dmarc", "a DMARC record", lintDMARC))
	c.Long = `Lint checks the text of a record without asking the DNS. The text is an argument, or
standard input with -.

Exit codes: 0 no error, 1 errors, 65 no record at all.`
	return c
}

const maxRecord = 64 << 10

func (a *app) lintText(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
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

func (a *app) lint(what, text string, problems []lintProblem) error {
	for _, p := range problems {
		if p.Severity == "error" || p.Severity == "critical" {
			a.raise(exitNo)
		}
	}
	if a.wantJSON() {
		if problems == nil {
			problems = []lintProblem{}
		}
		return a.json(map[string]any{"schema": "postseal.lint/1", "kind": what, "text": text, "problems": problems})
	}
	v := &view{app: a, style: a.style}
	if len(problems) == 0 {
		v.line(" %s %s", v.style.Symbol(term.Good), "nothing to mend")
		return nil
	}
	for _, p := range problems {
		tone := map[string]term.Tone{"critical": term.Bad, "error": term.Bad, "warn": term.Warn}[p.Severity]
		v.line(" %s %s  %s", v.style.Symbol(tone), v.style.Bold(p.ID), v.style.Dim("octet "+strconv.Itoa(p.Offset)+", RFC "+p.RFC))
		for _, l := range wrap(v.clean(p.Message)+v.style.Text(" — ")+v.clean(p.Fix), term.Width-4) {
			v.line("   %s", l)
		}
	}
	return nil
}
