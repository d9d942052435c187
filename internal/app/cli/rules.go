package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/internal/app/suggest"
)

func (a *app) rulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [ID|AREA]",
		Short: "Explain the rules of audit",
		Long: `Rules lists what an audit looks for. With an ID, it explains one rule: why it matters,
how to fix it, and its source. An area is the part of an ID before the dot.

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

func (a *app) rules(args []string) error {
	list := audit.Rules()
	if len(args) == 1 {
		if list = rulesFor(args[0]); len(list) == 0 {
			f := usage("rules: unknown rule or area %q", args[0])
			if guess := suggest.Of(args[0], ruleIDs()); guess != "" {
				return f.or("did you mean %s?", guess)
			}
			return f.or("postseal rules lists them")
		}
	}
	return a.page().Rules(list)
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
