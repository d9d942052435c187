package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/internal/app/suggest"
	"postseal/internal/app/term"
)

func (a *app) rulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [ID|AREA]",
		Short: "Explain the rules of audit",
		Long: `Rules lists what an audit looks for; with an ID it explains one rule: why it matters,
how to mend it, and where it is written. An area is the part of an ID before the dot.

Exit codes: 0 fine, 64 no such rule.`,
		Example: `  postseal rules
  postseal rules spf
  postseal rules spf.lookup-limit`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return ruleIDs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.rules(args) },
	}
}

func ruleIDs() []string {
	var list []string
	for _, r := range audit.Rules() {
		list = append(list, r.ID)
	}
	return list
}

type ruleJSON struct {
	ID       string         `json:"id"`
	Severity audit.Severity `json:"severity"`
	Title    string         `json:"title"`
	RFC      string         `json:"rfc"`
	Why      string         `json:"why"`
	Fix      string         `json:"fix"`
}

func (a *app) rules(args []string) error {
	list := audit.Rules()
	if len(args) == 1 {
		if list = rulesFor(args[0]); len(list) == 0 {
			f := usage("rules: there is no rule or area %q", args[0])
			if guess := suggest.Of(args[0], ruleIDs()); guess != "" {
				return f.or("did you mean %s?", guess)
			}
			return f.or("postseal rules lists them")
		}
	}
	if a.wantJSON() {
		out := make([]ruleJSON, 0, len(list))
		for _, r := range list {
			out = append(out, ruleJSON{r.ID, r.Severity, r.Title, r.RFC, r.Why, r.Fix})
		}
		return a.json(map[string]any{"schema": "postseal.rules/1", "rules": out})
	}
	v := &view{app: a, style: a.style}
	for i := range list {
		if len(list) == 1 {
			v.explainRule(&list[i])
			continue
		}
		r := &list[i]
		v.line(" %s %s %s", v.style.Symbol(severityTones[r.Severity]), term.Pad(v.style.Bold(r.ID), 26), v.clean(r.Title))
	}
	return nil
}

// rulesFor returns the rule of an ID, or those of an area.
func rulesFor(word string) []audit.Rule {
	var list []audit.Rule
	for _, r := range audit.Rules() {
		if r.ID == word || r.Area() == strings.TrimSuffix(word, ".") {
			list = append(list, r)
		}
	}
	return list
}

func (v *view) explainRule(r *audit.Rule) {
	v.line(" %s %s  %s", v.style.Symbol(severityTones[r.Severity]), v.style.Bold(r.ID), v.clean(r.Title))
	for _, row := range [][2]string{{"severity", string(r.Severity)}, {"best grade", string(r.BestGrade())}, {"source", v.style.Text(r.Cite())}, {"why", r.Why}, {"fix", r.Fix}} {
		for i, l := range wrap(v.clean(row[1]), term.Width-14) {
			label := row[0]
			if i > 0 {
				label = ""
			}
			v.line("   %s %s", v.style.Dim(term.Pad(label, 10)), l)
		}
	}
}
