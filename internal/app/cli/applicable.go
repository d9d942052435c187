package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postseal/internal/app/term"
)

// Global flags that do nothing for many commands.
var (
	dnsFlags  = []string{"resolver", "dns-timeout", "zone", "now"} // of commands that look names up or evaluate messages
	queries   = dnsFlags[:3]
	quietWork = []string{"verbose", "no-progress"}
	noOutput  = []string{"quiet", "format", "output", "log-format", "color"}
)

// inapplicable names the global flags that do nothing for a command, by its words without "postseal";
// those of a group are for all of its commands. Help leaves them out; they are accepted everywhere,
// so that scripts can pass the same flags to all commands.
var inapplicable = map[string][]string{
	"version":        without("config", quietWork, dnsFlags),
	"completion":     without("config", quietWork, dnsFlags, noOutput),
	"help":           without("config", quietWork, dnsFlags, noOutput),
	"migrate":        without("config", quietWork, dnsFlags),
	"rules":          without("config", quietWork, dnsFlags),
	"lint":           without("config", quietWork, dnsFlags),
	"replay-bundle":  without("config", []string{"no-progress"}, dnsFlags),
	"setup":          without("", quietWork, dnsFlags),
	"ui":             without("", quietWork, dnsFlags),
	"tail":           without("", quietWork, dnsFlags),
	"trial":          without("", quietWork, dnsFlags),
	"explain":        without("", quietWork, dnsFlags),
	"selftest":       without("", quietWork, dnsFlags),
	"store":          without("", quietWork, queries),
	"exempt":         without("", quietWork, queries),
	"domain":         without("", quietWork, queries),
	"whatif":         without("", quietWork, queries),
	"history":        without("no-progress", queries),
	"config check":   without("now", []string{"no-progress"}),
	"config show":    without("", quietWork, dnsFlags),
	"config push":    without("", quietWork, dnsFlags),
	"config history": without("", quietWork, dnsFlags),

	"config rollback": without("", quietWork, dnsFlags),
	"report read":     without("", quietWork, queries),
	"report list":     without("", quietWork, dnsFlags),
	"report show":     without("", quietWork, dnsFlags),
	"report suppress": without("", quietWork, dnsFlags),
	"report send":     without("", quietWork),
	"report digest":   without("", quietWork),
	"report summary":  without("no-progress"),
	"worker":          without("", quietWork),
	"serve":           {"no-progress", "format", "output", "color"},
	"policy":          {"no-progress", "verbose", "format", "output", "color"},
	"doctor":          without("now", quietWork),
	"quickstart":      without("now", quietWork),
	"spf":             without("", quietWork),
	"dmarc":           without("", quietWork),
	"dkim key":        without("", quietWork),
	"dkim verify":     {"verbose"},
	"arc":             {"verbose"},
}

// without joins a flag, "" for none, and groups of flags.
func without(flag string, groups ...[]string) []string {
	all := slices.Concat(groups...)
	if flag != "" {
		all = append(all, flag)
	}
	return all
}

// applicable returns the global flags that do something for c.
func applicable(c *cobra.Command) *pflag.FlagSet {
	left := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	hidden := hiddenFor(c)
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(hidden, f.Name) {
			left.AddFlag(f)
		}
	})
	return left
}

// hiddenFor is the entry of c, or of the nearest group that contains it. A group without an entry
// hides what all of its commands do.
func hiddenFor(c *cobra.Command) []string {
	for at := c; at.HasParent(); at = at.Parent() {
		_, words, _ := strings.Cut(at.CommandPath(), " ")
		if flags, ok := inapplicable[words]; ok {
			return flags
		}
	}
	if !c.HasParent() || c.Name() == "help" {
		return nil
	}
	var common []string
	first := true
	for _, sub := range c.Commands() {
		switch flags := hiddenFor(sub); {
		case sub.Name() == "help": // the generator of man pages adds one to each group
		case first:
			common, first = flags, false
		default:
			common = slices.DeleteFunc(slices.Clone(common), func(f string) bool { return !slices.Contains(flags, f) })
		}
	}
	return common
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

// The functions of usageTemplate: cobra has one set of them for all commands.
func init() {
	cobra.AddTemplateFunc("applicable", applicable)
	cobra.AddTemplateFunc("usages", usages)
}

// usageTemplate is that of cobra with the flags that apply, and lines that fit.
func usageTemplate(template string) string {
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
