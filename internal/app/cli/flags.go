package cli

import (
	"errors"
	"strings"
	"time"

	"postseal/internal/app/suggest"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// globalFlags are the flags of every command.
type globalFlags struct {
	config     string
	format     string
	output     string
	color      string
	noProgress bool
	verbose    bool
	quiet      bool
	logFormat  string
	resolvers  []string
	dnsTimeout time.Duration
	zones      []string
	now        string

	dnsTimeoutGiven bool
	resume          bool // for audit: continue after the end of output
	overwrite       bool // for audit and replay: replace the output of an interrupted run
}

const defaultDNSTimeout = 5 * time.Second

func (a *app) addGlobalFlags(f *pflag.FlagSet) {
	g := &a.flags
	f.StringVarP(&g.config, "config", "c", "", "read the configuration `FILE` (TOML)")
	f.StringVar(&g.format, "format", "text", "`FORMAT` of results: text, json, jsonl (one object per line)")
	f.VarP(&once{value: &g.output}, "output", "o", "write results to `FILE`")
	f.StringVar(&g.color, "color", "auto", "`WHEN` to use color: auto, always, never")
	f.BoolVar(&g.noProgress, "no-progress", false, "show no progress on stderr")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "show more")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "one line per result, no notes and hints")
	f.StringVar(&g.logFormat, "log-format", "text", "`FORMAT` of diagnostics on stderr: text, json")
	f.StringArrayVar(&g.resolvers, "resolver", nil, "query the name server `HOST[:PORT]` (repeatable; default: /etc/resolv.conf)")
	f.DurationVar(&g.dnsTimeout, "dns-timeout", defaultDNSTimeout, "`TIME` to wait for one name server")
	f.StringArrayVar(&g.zones, "zone", nil, "take all DNS answers from the zone `FILE`, without a network (repeatable)")
	f.StringVar(&g.now, "now", "", "evaluate as of `TIME` (RFC 3339)")
}

// once is the value of a flag that may be given only once, because the first value would be
// lost without a warning.
type once struct {
	value *string
	given bool
}

// String implements pflag.Value.
func (o *once) String() string {
	if o.value == nil {
		return ""
	}
	return *o.value
}

// Type implements pflag.Value.
func (o *once) Type() string { return "string" }

// Set implements pflag.Value.
func (o *once) Set(s string) error {
	if o.given {
		return errors.New("given twice; results go to one file")
	}
	*o.value, o.given = s, true
	return nil
}

// formatsOf lists the formats that a command supports.
func formatsOf(c *cobra.Command) []string {
	if c.Name() == "audit" {
		return auditFormats
	}
	if c.Name() == "history" || c.Name() == "summary" {
		return []string{"text", "json", "jsonl", "csv"}
	}
	return []string{"text", "json", "jsonl"}
}

func (a *app) checkGlobalFlags(c *cobra.Command) error {
	g := &a.flags
	if err := oneOf("--format", g.format, formatsOf(c)...); err != nil {
		return err
	}
	if err := oneOf("--color", g.color, "auto", "always", "never"); err != nil {
		return err
	}
	if err := oneOf("--log-format", g.logFormat, "text", "json"); err != nil {
		g.logFormat = "text"
		return err
	}
	switch {
	case g.quiet && g.verbose:
		return usage("--quiet and --verbose cannot be used together")
	case len(g.zones) > 0 && len(g.resolvers) > 0 && c.Name() != "audit":
		return usage("--zone and --resolver cannot be used together").or("with --zone, no name server is queried")
	case g.dnsTimeout <= 0:
		return usage("--dns-timeout %v: must be greater than 0", g.dnsTimeout)
	}
	if _, err := a.clock(); err != nil {
		return err
	}
	return a.loadConfig()
}

type clockFunc = func() time.Time

// clock returns the time of the verdict.
func (a *app) clock() (clockFunc, error) {
	if a.flags.now == "" {
		return time.Now, nil
	}
	t, err := time.Parse(time.RFC3339, a.flags.now)
	if err != nil {
		return nil, usage("--now %q is not an RFC 3339 time", a.flags.now).or("use a value such as 2026-11-02T08:30:00Z")
	}
	return func() time.Time { return t }, nil
}

// oneOf checks the value of a flag with a closed set of values.
func oneOf(flag, value string, allowed ...string) error {
	for _, v := range allowed {
		if v == value {
			return nil
		}
	}
	f := usage("%s %q is not one of %s", flag, value, strings.Join(allowed, ", "))
	if guess := suggest.Of(value, allowed); guess != "" {
		return f.or("did you mean %s %s?", flag, guess)
	}
	return f
}

// flagError explains an error of the flag parser, and suggests the most similar flag.
func flagError(c *cobra.Command, err error) error {
	f := usage("%s", err)
	if c.HasParent() && c.Parent().Name() == "lint" && strings.Contains(err.Error(), "unknown shorthand") {
		return f.or("the text of a record is one argument: put it in quotes")
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return f.or("see %s --help", c.CommandPath())
	}
	var names []string
	add := func(flag *pflag.Flag) { names = append(names, flag.Name) }
	c.Flags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	if guess := suggest.Of(name, names); guess != "" {
		return f.or("did you mean --%s?", guess)
	}
	return f.or("see %s --help", c.CommandPath())
}
