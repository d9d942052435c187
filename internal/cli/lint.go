package cli

import (
	"errors"
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
	k, err := dkim.ParseKey(text)
	var syntax *dkim.SyntaxError
	if errors.As(err, &syntax) {
		return []lintProblem{{"dkim.syntax", "error", syntax.Offset, syntax.Msg, "verifiers answer permerror: correct the record", "6376 §3.6.1"}}
	}
	var list []lintProblem
	add := func(id, severity, message, fix, rfc string) {
		list = append(list, lintProblem{id, severity, 0, message, fix, rfc})
	}
	switch reason := k.Usable(k.Type+"-sha256", "", "", dkim.DefaultKeyBits); {
	case k.Revoked:
		add("dkim.revoked", "warn", "p= is empty: the key is revoked", "publish a key, or remove the record", "6376 §3.6.1")
	case k.Type != "rsa" && k.Type != "ed25519":
		add("dkim.key-type", "error", "k= is neither rsa nor ed25519: nobody can verify with it", "use k=rsa or k=ed25519", "6376 §3.6.1")
	case reason != "":
		add("dkim.unusable", "error", "no verifier may use this key: "+strings.TrimPrefix(string(reason), "dkim."), "publish another key", "6376 §6.1.2")
	case k.Type == "rsa" && k.Bits < 2048:
		add("dkim.short-key", "warn", "less than 2048 bits", "make a key of 2048 bits", "8301 §3.2")
	case k.Bits > 4096:
		add("dkim.long-key", "warn", "verifiers need not support more than 4096 bits", "make a key of 2048 bits", "8301 §3.2")
	}
	if k.TestMode {
		add("dkim.test-mode", "warn", "t=y: some verifiers give such signatures no weight", "remove t=y when the tests are over", "6376 §3.6.1")
	}
	return list
}

func (a *app) lint(what, text string, problems []lintProblem) error {
	for _, p := range problems {
		if p.Severity == "error" {
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
		tone := map[string]term.Tone{"error": term.Bad, "warn": term.Warn}[p.Severity]
		v.line(" %s %s  %s", v.style.Symbol(tone), v.style.Bold(p.ID), v.style.Dim("octet "+strconv.Itoa(p.Offset)+", RFC "+p.RFC))
		for _, l := range wrap(v.clean(p.Message)+v.style.Text(" — ")+v.clean(p.Fix), term.Width-4) {
			v.line("   %s", l)
		}
	}
	return nil
}
