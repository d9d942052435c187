package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/internal/app/whatif"
	"postseal/server"
	"postseal/store/engines"
	"postseal/store/writer"
)

// whatIfFlags are those of whatif.
type whatIfFlags struct{ a, b, policy, since, dir string }

func (a evidenceCommands) whatIfCommand() *cobra.Command {
	var f whatIfFlags
	c := &cobra.Command{
		Use:   "whatif [flags]",
		Short: "Show which past messages another policy would have handled differently",
		Long: `Whatif evaluates the daemon's stored evidence under two policies and shows whose mail would
have been handled differently. A policy is live (what was done), a mode (observe,
quarantine, guarded, strict), a discovery (treewalk, psl), trial (that of [trial]), or with
--policy a file with enforce, [dmarc], [arc], [[exempt]] and [[rule]]. It does not use the
network and has no effect on mail. By default only the evidence of mail that was not
accepted is stored; [bundles] keep = "all" stores the rest too.

Hosts that share a PostgreSQL each look at their own evidence, and their results are added
up. Hosts that do not answer are named, with the number of their messages in the history.
With --bundles, only that directory is looked at.

Exit codes: 0 shown, 66 no evidence, 78 the file of --policy has errors.`,
		Example: `  postseal whatif --b strict --since 30d
  postseal whatif --policy candidate.toml`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.whatIf(c.Context(), f) },
	}
	c.Flags().StringVar(&f.a, "a", whatif.Live, "the first `POLICY`")
	c.Flags().StringVar(&f.b, "b", "strict", "the other `POLICY`")
	c.Flags().StringVar(&f.policy, "policy", "", "take the other policy from `FILE`")
	c.Flags().StringVar(&f.since, "since", "7d", "skip messages received before `TIME`: 30d, 12h, 2026-11-02")
	c.Flags().StringVar(&f.dir, "bundles", "", "`DIR` of the daemon's bundles (default: from the configuration)")
	return c
}

func (a evidenceCommands) whatIf(ctx context.Context, f whatIfFlags) error {
	clock, err := a.clock()
	if err != nil {
		return err
	}
	now := clock()
	since, err := parseSince(f.since, now)
	if err != nil {
		return err
	}
	if err := a.usualConfig(); err != nil {
		return err
	}
	o := whatif.Options{Since: since, Accepted: a.config.Bundles.Keep == "all"}
	if o.A, err = whatif.Named(f.a, a.config); err != nil {
		return usage("--a: %v", err)
	}
	if o.B, err = a.otherPolicy(&f, now); err != nil {
		return err
	}
	if o.Dir, err = a.bundlesDir(f.dir); err != nil {
		return err
	}
	r, err := a.compare(ctx, f, o)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failf(exitNoInput, "no evidence is kept: %s does not exist", o.Dir).or("use --config FILE or --bundles DIR if the daemon keeps it elsewhere")
	case errors.Is(err, fs.ErrPermission):
		return openFailure(o.Dir, err).or("run it as root or as the user of the daemon")
	case err != nil:
		return failf(exitNoInput, "%v", err)
	}
	return a.page().WhatIf(r)
}

// quietWait is how long nothing is said of hosts that a comparison waits for.
const quietWait = 3 * time.Second

// compare compares the policies with the evidence of this host and of those that share its database, or with --bundles of
// one directory.
func (a evidenceCommands) compare(ctx context.Context, f whatIfFlags, o whatif.Options) (*whatif.Report, error) {
	address, err := a.config.Store.Address()
	if f.dir != "" || err != nil || !fleet.Shareable(address) {
		return whatif.Run(ctx, o)
	}
	db, err := fleet.Open(address)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	x := whatif.Hosts{DB: db, Name: server.Hostname(), Self: writer.Instance(a.config.Store.JournalDir)}
	if s, err := engines.Open(ctx, address, engines.Options{ReadOnly: true}); err == nil { // else the report says so
		defer s.Close()
		x.Store = s
	}
	told, began := "", time.Now()
	x.Wait = func(hosts []string) {
		if text := strings.Join(hosts, ", "); text != "" && text != told && time.Since(began) > quietWait {
			told = text
			a.warn("waiting for %s", text)
		}
	}
	return x.Compare(ctx, o)
}

func (a evidenceCommands) otherPolicy(f *whatIfFlags, now time.Time) (whatif.Policy, error) {
	if f.policy == "" {
		p, err := whatif.Named(f.b, a.config)
		if err != nil {
			return p, usage("--b: %v", err)
		}
		return p, nil
	}
	text, err := os.ReadFile(f.policy)
	if err != nil {
		return whatif.Policy{}, openFailure(f.policy, err)
	}
	p, err := whatif.FromTOML(f.policy, text, now)
	if err != nil {
		return p, failf(exitConfig, "%v", err)
	}
	return p, nil
}

// bundlesDir is the directory of the evidence: that of a flag, else of the configuration, else
// that of the daemon that the system runs.
func (a evidenceCommands) bundlesDir(flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = a.config.Bundles.Dir
	}
	if dir == "" {
		return "", failf(exitNoInput, "[bundles] dir keeps no evidence of verdicts").or("remove [bundles] dir = \"none\" from the configuration to keep it from now on")
	}
	if _, err := os.Stat(dir); flag == "" && errors.Is(err, fs.ErrNotExist) && a.flags.config == "" && a.getenv("STATE_DIRECTORY") == "" {
		return conf.BundlesIn(conf.SystemState), nil
	}
	return dir, nil
}
