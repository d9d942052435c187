package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/internal/app/rules"
	"postseal/internal/app/view"
)

func (a evidenceCommands) exemptCommand() *cobra.Command {
	var dir, why, until string
	c := &cobra.Command{
		Use:   "exempt BUNDLE|REF|QUEUE-ID",
		Short: "Print the [[exempt]] entry that would accept a message",
		Long: `Exempt prints the [[exempt]] entry that would accept messages like this one, and as little
else as possible: it identifies the sender by what was verified, and by the list or the
author. The evidence is a bundle file, or one that the daemon stored, named as in postseal
explain. Add the entry to the configuration, then run postseal config check and reload the
daemon.

Look at the message first: an entry also accepts forgeries that its sender forwards.

Exit codes: 0 printed, 1 no entry helps, 65 not a bundle, 66 no such bundle.`,
		Example: `  postseal exempt 7KQ2-9F3M
  postseal exempt --why "ticket 812" --until 2027-03-01 a.bundle`,
		Args: exactly("BUNDLE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.exempt(c.Context(), args[0], dir, why, until)
		},
	}
	c.Flags().StringVar(&dir, "bundles", "", "`DIR` of the daemon's bundles (default: from the configuration)")
	c.Flags().StringVar(&why, "why", "", "`TEXT` for the log and your successor (default: which message it was)")
	c.Flags().StringVar(&until, "until", "", "the last `DAY` of the entry, such as 2027-03-01 (default: 90 days from today)")
	return c
}

func (a evidenceCommands) exempt(ctx context.Context, id, dir, why, until string) error {
	clock, err := a.clock()
	if err != nil {
		return err
	}
	b, path, err := a.findBundle(id, dir)
	if err != nil {
		return err
	}
	r, _, err := evaluate(ctx, path, b, func(*postseal.Config) {})
	if err != nil {
		return err
	}
	if r.Decision.Action == postseal.Accept && !b.Local {
		return failf(exitNo, "%s: the message is accepted: %s", id, r.Decision.Reason).or("postseal explain %s shows why", id)
	}
	e, err := rules.Narrow(r, b.Message != nil, clock())
	if err != nil {
		return failf(exitNo, "%s: %v", id, err)
	}
	if err := setExempt(&e, why, until); err != nil {
		return err
	}
	for _, p := range e.Problems(clock()) {
		return usage("--%s: %s", p.Key, p.Text)
	}
	if !e.Accepts(r) {
		return failf(exitNo, "%s: no entry accepts this message", id)
	}
	if e.IP != "" {
		a.hint("only its address identifies this sender: the entry accepts what %s sends, forgeries included; look at the message first (postseal explain %s)", e.IP, id)
	}
	return a.page().Exempt(&view.Exemption{Ref: r.Ref, Entry: e, Report: r, List: b.Message == nil && e.ListID+e.Author == ""})
}

// setExempt applies --why and --until.
func setExempt(e *rules.Exempt, why, until string) error {
	if why != "" {
		e.Why = why
	}
	if until == "" {
		return nil
	}
	if err := e.Until.UnmarshalText([]byte(until)); err != nil {
		return usage("--until %q is not a day such as 2027-03-01", until)
	}
	return nil
}
