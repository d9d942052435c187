package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/doctor"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/selftest"
)

// selftestFlags are the flags of selftest.
type selftestFlags struct {
	postfix string
	to      string
	zone    bool
	force   bool
}

func (a hostCommands) selftestCommand() *cobra.Command {
	var f selftestFlags
	c := &cobra.Command{
		Use:   "selftest [flags]",
		Short: "Run every known attack and show what stopped it",
		Long: `Selftest runs known attacks that try to get a forgery accepted, each with its own DNS
answers, and shows which layer stopped it: limits, author, dmarc, fields (one was added to
a signed message) or dns (the verdict is undecided and never a pass). Attacks that smuggle
a second message within a first (smuggling-*) go through a proxy started for the test, to a
next hop that accepts any line ending: message (rejected) or data (it stayed one message).

--postfix sends them through your own Postfix and its listeners instead, only on loopback.
What is not stopped is delivered to --to. The attacks use domains that do not exist: start
the daemon with the zone of --print-zone, in mode guarded or strict, and allow XCLIENT for
127.0.0.1 (smtpd_authorized_xclient_hosts). Postfix and the daemon are asked about this
first; if something is missing, nothing is sent.

Exit codes: 0 all were stopped, 1 one was not, 69 cannot reach Postfix or the daemon,
78 they are not set up for the test.`,
		Example: `  postseal selftest
  postseal selftest --print-zone > attacks.zone
  postseal serve --zone attacks.zone
  postseal selftest --postfix 127.0.0.1:25 --to postmaster`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.selftest(c.Context(), f) },
	}
	c.Flags().StringVar(&f.postfix, "postfix", "", "send the attacks to Postfix at `HOST:PORT`, on loopback")
	c.Flags().StringVar(&f.to, "to", "postmaster", "recipient `ADDRESS` of the messages that --postfix sends")
	c.Flags().BoolVar(&f.force, "force", false, "send the attacks without asking Postfix and the daemon first")
	c.Flags().BoolVar(&f.zone, "print-zone", false, "print the DNS of the attacks and do nothing else")
	return c
}

func (a hostCommands) selftest(ctx context.Context, f selftestFlags) error {
	if strings.ContainsAny(f.to, "<>\r\n \t") || f.to == "" {
		return usage("--to %q is not an address", f.to)
	}
	attacks, err := selftest.Attacks()
	if err != nil {
		return err
	}
	if f.zone {
		_, err := a.out.WriteString(selftest.Zone(attacks))
		return err
	}
	if f.postfix != "" {
		if err := selftest.Loopback(f.postfix); err != nil {
			return usage("--postfix: %v", err)
		}
		if err := a.readyForAttacks(ctx, attacks, f); err != nil {
			return err
		}
	}
	results := make([]selftest.Result, 0, len(attacks))
	for i := range attacks {
		r, err := a.attack(ctx, &attacks[i], f)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	smuggled, err := a.smuggle(ctx, attacks, f)
	if err != nil {
		return err
	}
	return a.printAttacks(append(results, smuggled...))
}

// readyForAttacks asks Postfix and the daemon whether the attacks would show anything.
func (a hostCommands) readyForAttacks(ctx context.Context, attacks []selftest.Attack, f selftestFlags) error {
	if f.force {
		return nil
	}
	if err := a.usualConfig(); err != nil {
		return err
	}
	milter := endpoint.NewFinder(a.config).Find(ctx, endpoint.Milter).Address
	switch err := doctor.Selftest(ctx, attacks, selftest.Target{Address: f.postfix, To: f.to}, milter); {
	case errors.Is(err, doctor.ErrSelftest):
		return failf(exitConfig, "nothing was sent: %v", err).or("--force sends the attacks anyway, to %s", f.to)
	case err != nil:
		return failf(exitUnavailable, "nothing was sent: %v", err).or("name the configuration of the daemon with --config")
	}
	return nil
}

func (a hostCommands) attack(ctx context.Context, attack *selftest.Attack, f selftestFlags) (selftest.Result, error) {
	if f.postfix == "" {
		return attack.Run(ctx)
	}
	r, err := attack.Send(ctx, selftest.Target{Address: f.postfix, To: f.to})
	if err != nil {
		return r, failf(exitUnavailable, "%s: %v", f.postfix, err)
	}
	return r, nil
}

func (a hostCommands) printAttacks(results []selftest.Result) error {
	stopped := 0
	for i := range results {
		if results[i].Stopped {
			stopped++
		}
	}
	if stopped < len(results) {
		a.setExit(exitNo)
	}
	return a.page().Attacks(results, stopped)
}
