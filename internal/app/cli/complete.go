package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/migrate"
	"postseal/server/listener"
	"postseal/spf"
)

// actionWords are the actions of a verdict.
var actionWords = []cobra.Completion{string(postseal.Accept), string(postseal.Quarantine), string(postseal.Reject), string(postseal.Defer)}

// flagValues are offered by shell completions, by the name of the flag, or by command and flag where
// a name has several meanings. A flag without values takes free text, so no
// files are offered for it.
var flagValues = map[string][]cobra.Completion{
	"color":      {"auto\ton a terminal", "always", "never"},
	"log-format": {"text\tfor people", "json\tone object per line"},
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
	"identity":       {string(spf.MailFrom), string(spf.Helo)},
	"fail-on":        {"info", "warn", "error", "critical", "never\tfindings do not count"},
	"profile":        {"auto\tby its records", "sending", "receiving", "parked"},
	"migrate from":   migrateNames(),
	"default-action": {"tempfail\tdefer mail while postseal is down", "accept\taccept it unchecked"},
	"role":           {string(listener.ReaderRole), string(listener.AdminRole)},
	"action":         actionWords,
	"applied":        actionWords,
	"replay policy":  {string(postseal.Observe), string(postseal.EnforceQuarantine), string(postseal.Guarded), string(postseal.Strict)},
	"spf":            withSign(spfWords),
	"dkim":           withSign(dkimWords),
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

// addCompletions adds the command that prints the scripts for shells.
func (a *app) addCompletions(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = a.noSuchCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// addFlagCompletions makes shells complete the values of flags, and prevents them from offering
// files where none are expected. It visits every flag of every command, so only the command that
// shells run needs it.
func addFlagCompletions(c *cobra.Command) {
	add := func(f *pflag.Flag) {
		extensions, file := fileFlags[f.Name]
		values, own := flagValues[c.Name()+" "+f.Name]
		if !own {
			values = flagValues[f.Name]
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if f.Name == "spf" || f.Name == "dkim" {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		switch {
		case file && extensions == nil:
		case file:
			c.MarkFlagFilename(f.Name, extensions...)
		case f.Name == "format":
			c.RegisterFlagCompletionFunc(f.Name, completeFormat)
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

// completeFormat offers the formats that the command knows.
func completeFormat(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	about := map[string]string{"text": "\tfor people", "json": "\tindented", "jsonl": "\tone object per line"}
	var list []cobra.Completion
	for _, format := range formatsOf(c) {
		list = append(list, format+about[format])
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// migrateNames are the programs of migrate --from.
func migrateNames() []cobra.Completion { return migrate.Programs() }

// takesFiles reports whether the arguments of c are files.
func takesFiles(c *cobra.Command) bool {
	return strings.Contains(c.Use, "FILE") || strings.Contains(c.Use, "PATH")
}
