package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal/internal/app/term"
)

// dnsFlags are the global flags of commands that look names up or evaluate messages.
var dnsFlags = []string{"resolver", "dns-timeout", "zone", "now"}

// inapplicable names the global flags that do nothing for a command, by its name or that of its
// parent. Help leaves them out; they are accepted everywhere, so that scripts can pass the same
// flags to all commands.
var inapplicable = map[string][]string{
	"version":       append([]string{"config", "verbose", "no-progress"}, dnsFlags...),
	"completion":    append([]string{"config", "verbose", "no-progress", "quiet", "format", "output", "log-format", "color"}, dnsFlags...),
	"help":          append([]string{"config", "verbose", "no-progress", "quiet", "format", "output", "log-format", "color"}, dnsFlags...),
	"migrate":       append([]string{"config", "verbose", "no-progress"}, dnsFlags...),
	"rules":         append([]string{"config", "no-progress"}, dnsFlags...),
	"setup":         append([]string{"no-progress"}, dnsFlags...),
	"ui":            append([]string{"verbose", "no-progress"}, dnsFlags...),
	"store":         append([]string{"no-progress"}, dnsFlags...),
	"tail":          append([]string{"no-progress"}, dnsFlags...),
	"trial":         append([]string{"no-progress"}, dnsFlags...),
	"explain":       append([]string{"no-progress"}, dnsFlags...),
	"replay-bundle": append([]string{"config", "no-progress"}, dnsFlags...),
	"exempt":        {"no-progress", "resolver", "dns-timeout", "zone"},
	"config":        {"no-progress", "now"},
	"serve":         {"no-progress", "quiet", "verbose", "format", "output", "color"},
	"policy":        {"no-progress", "verbose", "format", "output", "color"},
	"doctor":        {"no-progress", "now"},
	"quickstart":    {"no-progress", "now"},
	"selftest":      {"no-progress", "now", "resolver", "dns-timeout", "zone"},
	"lint":          {"no-progress", "config", "now"},
	"spf":           {"no-progress"},
	"dmarc":         {"no-progress"},
}

// applicable returns the global flags that do something for c.
func applicable(c *cobra.Command) *pflag.FlagSet {
	left := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(inapplicable[topOf(c).Name()], f.Name) {
			left.AddFlag(f)
		}
	})
	return left
}

// topOf is the command of the first word.
func topOf(c *cobra.Command) *cobra.Command {
	for c.HasParent() && c.Parent().HasParent() {
		c = c.Parent()
	}
	return c
}

// HideInapplicable hides the global flags that do nothing for c, for a page about c, until show
// is called.
func HideInapplicable(c *cobra.Command) (show func()) {
	var hidden []*pflag.Flag
	left := applicable(c)
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if left.Lookup(f.Name) == nil && !f.Hidden {
			f.Hidden = true
			hidden = append(hidden, f)
		}
	})
	return func() {
		for _, f := range hidden {
			f.Hidden = false
		}
	}
}

// usageTemplate is that of cobra with the flags that apply, and lines that fit.
func usageTemplate(template string) string {
	cobra.AddTemplateFunc("applicable", applicable)
	cobra.AddTemplateFunc("usages", usages)
	template = strings.ReplaceAll(template, "{{if .HasAvailableInheritedFlags}}", "{{if (applicable .).HasAvailableFlags}}")
	template = strings.ReplaceAll(template, ".InheritedFlags.FlagUsages", "usages (applicable .)")
	return strings.ReplaceAll(template, ".LocalFlags.FlagUsages", "usages .LocalFlags")
}

// usages lists flags in lines that fit. A switch is shown as --name alone.
func usages(flags *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	shown.SortFlags = flags.SortFlags
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" {
			with := *f
			with.Value = toggle{f.Value}
			f = &with
		}
		shown.AddFlag(f)
	})
	return shown.FlagUsagesWrapped(term.Width)
}

// toggle is a value of type bool for which pflag prints no values.
type toggle struct{ pflag.Value }

func (toggle) Type() string { return "boolfunc" }
