package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/internal/app/postfix"
	"postseal/internal/app/quickstart"
)

// quickstartFlags are the flags of quickstart.
type quickstartFlags struct {
	configDir, smtp string
	apply, undo     bool
}

func (a hostCommands) quickstartCommand() *cobra.Command {
	var f quickstartFlags
	c := &cobra.Command{
		Use:   "quickstart [flags]",
		Short: "Look at this host, and set up postseal with its Postfix",
		Long: `Look at Postfix, the resolver and other filters, and print what would be done and why.
--apply does it: it writes the configuration in mode observe (--config, by default
` + conf.UsualPath + `), starts the daemon, sets up Postfix once the milter
answers, sends test messages and shows what happens to them. --undo restores every file
byte for byte; parts that were changed by hand since are left unchanged.

Exit codes: 0 printed or done, 1 done, and a test shows that something is wrong, 66 no
Postfix, 69 the daemon does not answer, 73 a file cannot be written.`,
		Example: `  postseal quickstart
  sudo postseal quickstart --apply
  sudo postseal quickstart --undo`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.quickstart(c.Context(), f) },
	}
	c.Flags().StringVar(&f.configDir, "config-dir", "", "configuration `DIR` of Postfix (default: its own)")
	c.Flags().StringVar(&f.smtp, "smtp", "127.0.0.1:25", "`HOST:PORT` where Postfix accepts the test message")
	c.Flags().BoolVar(&f.apply, "apply", false, "make the changes")
	c.Flags().BoolVar(&f.undo, "undo", false, "restore what --apply changed")
	return c
}

func (a hostCommands) quickstart(ctx context.Context, f quickstartFlags) error {
	if f.apply && f.undo {
		return usage("--apply and --undo exclude each other")
	}
	if _, err := conf.ServerAddress(f.smtp); err != nil {
		return usage("--smtp %v", err)
	}
	o := quickstart.Options{ConfigFile: a.flags.config, PostfixDir: f.configDir, State: conf.StateDir(), SMTP: f.smtp}
	if o.ConfigFile == "" {
		o.ConfigFile = conf.UsualPath
	}
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return failf(exitInternal, "%v", err)
	}
	// A configuration that was broken since does not keep anyone from going back.
	if err := a.usualConfig(); err != nil && !f.undo {
		return err
	}
	o.Config = a.config
	if o.Resolver, err = a.resolver(); err != nil && !f.undo {
		return err
	}
	o.Servers = a.queried()
	s, findings, err := quickstart.Look(ctx, o)
	switch {
	case errors.Is(err, postfix.ErrNotInstalled):
		return failf(exitNoInput, "there is no Postfix here: %v", err).or("name its configuration with --config-dir; other mail servers: docs/howto")
	case err != nil:
		return failf(exitNoInput, "%v", err)
	case f.undo:
		return a.undoQuickstart(ctx, s)
	case !f.apply:
		err := a.page().Doctor(append(findings, s.Plan()...))
		a.hint("nothing is changed yet: sudo postseal quickstart --apply does it, --undo takes it back")
		return err
	}
	if err := s.Apply(ctx); err != nil {
		return quickstartFailure(err, "sudo postseal quickstart --apply", "postseal quickstart --undo reverts what was done so far")
	}
	if err := a.reloadedConfig(o.ConfigFile); err != nil {
		return err
	}
	s.Config = a.config
	tests := s.Test(ctx)
	if worst := doctor.Worst(tests); worst == doctor.Fail || worst == doctor.Down {
		a.setExit(exitNo)
	}
	if err := a.page().Doctor(append(findings, tests...)); err != nil {
		return err
	}
	a.hint("done; postseal quickstart --undo takes it back. What would be refused: docs/howto/rollout.md")
	a.hintRefusal()
	return nil
}

// reloadedConfig reads the configuration that quickstart wrote.
func (a hostCommands) reloadedConfig(path string) error {
	c, _, err := a.readConfig(path, nil)
	if err == nil {
		a.config = c
	}
	return err
}

func (a hostCommands) undoQuickstart(ctx context.Context, s *quickstart.Survey) error {
	kept, err := s.Undo(ctx)
	switch {
	case errors.Is(err, quickstart.ErrNothingToUndo):
		a.hint("nothing to undo: quickstart was not applied here")
		return nil
	case err != nil:
		return quickstartFailure(err, "sudo postseal quickstart --undo", "fix it, then repeat: sudo postseal quickstart --undo")
	}
	done := []doctor.Finding{{Check: "undo", Level: doctor.OK, Text: "everything is as it was"}}
	if len(kept) > 0 {
		done = []doctor.Finding{{Check: "undo", Level: doctor.Warn, Text: "changed since, and left as it is: " + strings.Join(kept, ", ")}}
	}
	return a.page().Doctor(done)
}

// quickstartFailure adds what to do after an error of command: next, unless it needs to be root.
func quickstartFailure(err error, command, next string) error {
	switch {
	case errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "Permission denied"):
		return failf(exitCreate, "%v", err).or("run it as root: %s", command)
	case strings.Contains(err.Error(), "does not answer"):
		return failf(exitUnavailable, "%v", err).or("%s", next)
	}
	return failf(exitCreate, "%v", err).or("%s", next)
}
