package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/dkim"
	"postseal/internal/app/repair"
	"postseal/internal/app/view"
	"postseal/internal/core/dmarcrecord"
	"postseal/lint"
	"postseal/spf"
)

// recordCommands check one record or one protocol: spf, dkim, arc, dmarc, lint.
type recordCommands struct{ *app }

func (a recordCommands) lintCommand() *cobra.Command {
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
		sub("spf", "an SPF record", spf.Lint), sub("dkim", "a DKIM key record", lintKey), sub("dmarc", "a DMARC record", dmarcrecord.Lint), a.lintZoneCommand())
	c.Long = `Lint checks the text of a record without querying the DNS. The text is an argument, or
standard input with -. If it is clear what the text was meant to be, the record to publish
follows the problems.

Exit codes: 0 no error, 1 errors, 65 no text.`
	return c
}

const maxRecord = 64 << 10

func (a recordCommands) lintText(args []string) (string, error) {
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
		return "", failf(exitData, "<stdin>: longer than 64 KiB, the most that a record can have")
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", failf(exitData, "<stdin>: empty").or("give the text of the record, as one line without quotes")
	}
	return text, nil
}

func (a recordCommands) lint(what, text string, problems []lint.Problem) error {
	for _, p := range problems {
		if p.Severity == lint.Error || p.Severity == lint.Critical {
			a.setExit(exitNo)
		}
	}
	l := &view.Lint{Kind: what, Text: text, Problems: problems}
	record, left, err := corrected(what, text)
	switch {
	case err == nil && severity(left) < severity(problems):
		l.Publish = record
	case err != nil && severity(problems) >= severities[lint.Error]:
		l.NoRecord = err.Error()
	}
	return a.page().Lint(l)
}

// lintKey is dkim.Lint, and knows the usual damage of keys as the audit does.
func lintKey(text string) []lint.Problem {
	problems := dkim.Lint(text)
	for i := range problems {
		p := &problems[i]
		if p.ID != "dkim.syntax" {
			continue
		}
		if fault, offset := repair.Damage(text, nil); fault != repair.OtherFault {
			rule, _ := audit.RuleOf("dkim." + string(fault))
			*p = lint.Problem{ID: rule.ID, Severity: lint.Severity(rule.Severity), Offset: max(offset, 0), Message: fault.Detail(), Fix: rule.Fix, RFC: rule.RFC}
		}
	}
	return problems
}

// corrected returns the record that text was meant to be, and what is left to say of it.
func corrected(kind, text string) (record string, left []lint.Problem, err error) {
	switch kind {
	case "spf":
		record, err = repair.SPF(text)
		return record, spf.Lint(record), err
	case "dkim":
		record, _, err = repair.Key(text, nil)
		return record, dkim.Lint(record), err
	}
	record, err = repair.DMARC(text)
	return record, dmarcrecord.Lint(record), err
}

// severities orders sets of problems: one error is more than any warnings.
var severities = map[lint.Severity]int{lint.Critical: 1 << 24, lint.Error: 1 << 16, lint.Warning: 1 << 8, lint.Info: 1}

func severity(problems []lint.Problem) (sum int) {
	for _, p := range problems {
		sum += severities[p.Severity]
	}
	return sum
}
