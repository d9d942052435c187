package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal"
	"postseal/dmarc"
	"postseal/spf"
)

// flagValues are offered by shell completions. A flag without values takes free text, so no
// files are offered for it.
var flagValues = map[string][]cobra.Completion{
	"color":      {"auto\ton a terminal", "always", "never"},
	"format":     {"text\tfor people", "json\tindented", "jsonl\tone object a line"},
	"log-format": {"text\tfor people", "json\tone object a line"},
	"enforce": {
		string(postseal.Observe) + "\tact on nothing",
		string(postseal.EnforceQuarantine) + "\tnever above quarantine",
		string(postseal.Guarded) + "\treject only what is corroborated",
		string(postseal.Strict) + "\tas published",
	},
	"discovery": {string(dmarc.TreeWalk) + "\tRFC 9989", string(dmarc.PSL) + "\tpublic suffix list, RFC 7489"},
	"bundle-with": {
		withNothing + "\tno local part, no text",
		withHeader + "\tthe header section as it is",
		withMessage + "\tthe whole message",
	},
	"identity": {string(spf.MailFrom), string(spf.Helo)},
	"spf":      withSign(spfWords),
	"dkim":     withSign(dkimWords),
}

// fileFlags take file names.
var fileFlags = map[string][]string{"config": {"toml"}, "output": nil, "zone": nil, "bundle": nil}

func withSign(words []string) []cobra.Completion {
	list := make([]cobra.Completion, len(words))
	for i, w := range words {
		list[i] = w + "="
	}
	return list
}

// addCompletions makes shells complete the values of flags, and prevents them from offering
// files where none are expected.
func (a *app) addCompletions(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	addFlagCompletions(root)
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = a.noSuchCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

func addFlagCompletions(c *cobra.Command) {
	add := func(f *pflag.Flag) {
		extensions, file := fileFlags[f.Name]
		values := flagValues[f.Name]
		directive := cobra.ShellCompDirectiveNoFileComp
		if f.Name == "spf" || f.Name == "dkim" {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		switch {
		case file && extensions == nil:
		case file:
			c.MarkFlagFilename(f.Name, extensions...)
		default:
			c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, directive))
		}
	}
	c.LocalNonPersistentFlags().VisitAll(add)
	c.PersistentFlags().VisitAll(add)
	if !takesFiles(c) && c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range c.Commands() {
		addFlagCompletions(sub)
	}
}

// takesFiles reports whether the arguments of c are files.
func takesFiles(c *cobra.Command) bool {
	return strings.Contains(c.Use, "FILE") || strings.Contains(c.Use, "PATH")
}
