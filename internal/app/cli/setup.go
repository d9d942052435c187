package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
)

// setupFlags are the flags of setup postfix.
type setupFlags struct {
	configDir     string
	milter        string
	policy        string
	defaultAction string
	withPolicy    bool
	force         bool
	apply         bool
	undo          bool
}

// the value none omits a listener.
const none = "none"

// hostCommands set up and check this host: quickstart, setup, doctor, selftest, ui.
type hostCommands struct{ *app }

func (a hostCommands) setupCommand() *cobra.Command {
	var f setupFlags
	c := &cobra.Command{
		Use:   "postfix [flags]",
		Short: "Set up postseal in Postfix: print, apply or undo the lines of main.cf",
		Long: `Print what makes Postfix ask postseal. --apply does it and saves main.cf first,
--undo puts main.cf back. The listeners are those of the running daemon, else those that
systemd passes to it, else those of the configuration. --apply writes only what answers.
The milter alone does everything; --with-policy also checks SPF before the message comes,
and with --apply sets [policy] received_spf to fit.

Exit codes: 0 done or printed, 66 no Postfix, 69 what would be written does not answer,
73 main.cf cannot be changed.`,
		Example: `  postseal setup postfix
  sudo postseal setup postfix --apply && sudo postfix reload
  sudo postseal setup postfix --undo`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.setupPostfix(c.Context(), f) },
	}
	c.Flags().StringVar(&f.configDir, "config-dir", "", "configuration `DIR` of Postfix (default: its own)")
	c.Flags().StringVar(&f.milter, "milter", "", "`LISTENER` of the milter: unix:PATH, HOST:PORT or none")
	c.Flags().StringVar(&f.policy, "policy", "", "`LISTENER` of the policy service, which implies --with-policy: unix:PATH, HOST:PORT or none")
	c.Flags().BoolVar(&f.withPolicy, "with-policy", false, "ask the policy service too")
	c.Flags().StringVar(&f.defaultAction, "default-action", "tempfail", "`WHAT` Postfix does while postseal is down: tempfail, accept")
	c.Flags().BoolVar(&f.apply, "apply", false, "change main.cf, after saving it")
	c.Flags().BoolVar(&f.force, "force", false, "with --apply: write a listener that does not answer, too")
	c.Flags().BoolVar(&f.undo, "undo", false, "put main.cf back as it was before --apply")
	return a.group("setup", "Set up postseal in a mail server", c, a.setupRefusalCommand())
}

func (a hostCommands) setupPostfix(ctx context.Context, f setupFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := a.usualConfig(); err != nil {
		return err
	}
	s, err := postfix.Read(ctx, f.configDir)
	switch {
	case errors.Is(err, postfix.ErrNotInstalled) && !f.apply && !f.undo:
		s = postfix.Defaults()
		a.hint("there is no postconf here: these are the lines for a Postfix as Debian installs it")
	case err != nil:
		return failf(exitNoInput, "%v", err).or("name Postfix's configuration with --config-dir")
	}
	if f.undo {
		return a.undoPostfix(ctx, &s)
	}
	listeners, silent, err := a.listeners(ctx, &s, f)
	if err != nil {
		return failf(exitConfig, "%v", err)
	}
	if f.apply && !f.force && silent != nil {
		return silent
	}
	changes := s.Plan(listeners)
	backup := ""
	if f.apply && len(changes) > 0 {
		if backup, err = s.Apply(ctx, changes); err != nil {
			return writeFailure(&s, err)
		}
	}
	if silent != nil {
		a.warn("%s\n%s", silent.msg, silent.hint)
	}
	fitted, err := a.fitReceivedSPF(&s, listeners, f.apply)
	if err != nil {
		return err
	}
	if a.wantJSON() {
		return a.json(struct {
			Schema  string           `json:"schema"`
			Changes []postfix.Change `json:"changes"`
			Applied bool             `json:"applied"`
			Backup  string           `json:"backup"`
			Config  string           `json:"config"`
		}{"postseal.setup/1", append([]postfix.Change{}, changes...), f.apply, backup, fitted})
	}
	if fitted != "" {
		fmt.Fprintf(a.out, "# done: [policy] received_spf = %t in %s; now: systemctl reload postseal\n", listeners.ReceivedSPF(), a.style.Text(fitted))
		if len(changes) == 0 {
			return nil
		}
	}
	a.printSetup(&s, f, changes, backup)
	return nil
}

// fitReceivedSPF writes [policy] received_spf to the configuration if another value suits the
// listeners that Postfix uses, and returns the file. It leaves a value that the operator chose, and
// without apply everything: then it says what to set.
func (a hostCommands) fitReceivedSPF(s *postfix.Settings, listeners postfix.Listeners, apply bool) (written string, err error) {
	want := listeners.ReceivedSPF()
	if listeners.Policy == "" || a.config.Policy.ReceivedSPF == want {
		return "", nil
	}
	if path, err := filepath.Abs(a.flags.config); apply && a.flags.config != "" && err == nil {
		before, err := os.ReadFile(path)
		if err != nil {
			return "", openFailure(path, err)
		}
		if after, ok := conf.WithReceivedSPF(before, want); ok {
			if err := s.Configure(postfix.Config{Path: path, Before: before, After: after}); err != nil {
				return "", cannotCreate(path, err)
			}
			return path, nil
		}
	}
	a.hint("%s", doctor.ReceivedSPFHint(want))
	return "", nil
}

// check returns what is wrong with the flags.
func (f *setupFlags) check() error {
	if err := oneOf("--default-action", f.defaultAction, "tempfail", "accept"); err != nil {
		return err
	}
	if f.apply && f.undo {
		return usage("--apply and --undo exclude each other")
	}
	return errors.Join(checkListener("--milter", f.milter), checkListener("--policy", f.policy))
}

// checkListener checks the value of a flag that names a listener or none.
func checkListener(flag, listener string) error {
	if listener == "" || listener == none {
		return nil
	}
	if err := new(conf.Address).UnmarshalText([]byte(listener)); err != nil {
		return usage("%s: %v", flag, err)
	}
	return nil
}

// listeners returns the listeners that Postfix is to use. silent says which of them do not answer.
func (a hostCommands) listeners(ctx context.Context, s *postfix.Settings, f setupFlags) (d postfix.Listeners, silent *failure, err error) {
	d.DefaultAction = f.defaultAction
	if f.policy == "" && !f.withPolicy {
		f.policy = none
	}
	find := endpoint.NewFinder(a.config)
	for _, door := range []struct {
		given, name string
		to          *string
	}{
		{f.milter, endpoint.Milter, &d.Milter},
		{f.policy, endpoint.Policy, &d.Policy},
	} {
		var found endpoint.Found
		switch door.given {
		case none:
			continue
		case "":
			found = find.Find(ctx, door.name)
		default:
			found = endpoint.Found{Address: door.given, Err: endpoint.Answers(ctx, door.name, door.given)}
		}
		if found.Address == "" {
			continue // it does not answer
		}
		if found.Err != nil {
			silent = failf(exitUnavailable, "nothing answers as %s at %s: %v. With this in main.cf all mail would get 451", door.name, found.Address, found.Err).
				or("start the daemon first (systemctl start postseal, or postseal serve), then repeat this; --force writes it anyway")
		}
		if *door.to, err = s.Endpoint(found.Address); err != nil {
			return d, silent, err
		}
	}
	return d, silent, nil
}

func (a hostCommands) printSetup(s *postfix.Settings, f setupFlags, changes []postfix.Change, backup string) {
	for _, service := range s.Overrides {
		a.hint("the service %s of master.cf sets smtpd_milters itself: main.cf does not apply to it", service)
	}
	if len(changes) == 0 {
		fmt.Fprintln(a.out, "# nothing to change: Postfix asks postseal already")
		return
	}
	dir := ""
	if f.configDir != "" {
		dir = " -c " + postfix.Quote(f.configDir)
	}
	for _, c := range changes {
		fmt.Fprintf(a.out, "postconf%s -e %s\n", dir, postfix.Quote(a.style.Text(c.Name+" = "+c.New)))
	}
	if !f.apply {
		fmt.Fprintf(a.out, "postfix%s reload\n", dir)
		a.hint("postseal setup postfix --apply does it")
		a.hintRefusal()
		return
	}
	fmt.Fprintf(a.out, "# done; main.cf as it was: %s\n", backup)
	a.hint("now: postfix%s reload; then: postseal doctor", dir)
	a.hintRefusal()
}

func (a hostCommands) undoPostfix(ctx context.Context, s *postfix.Settings) error {
	kept, err := s.Undo(ctx)
	switch {
	case errors.Is(err, postfix.ErrNothingToUndo):
		fmt.Fprintln(a.out, "# nothing to undo: setup was not applied here")
		return nil
	case err != nil:
		return writeFailure(s, err)
	}
	fmt.Fprintf(a.out, "# done; %s is as it was\n", filepath.Join(s.ConfigDir, "main.cf"))
	for _, c := range kept {
		if filepath.IsAbs(c.Name) {
			a.hint("%s was changed since and is left as it is", c.Name)
			continue
		}
		a.hint("%s was changed since and is left as it is; before postseal it was %q", c.Name, c.Old)
	}
	return nil
}

func writeFailure(s *postfix.Settings, err error) error {
	f := failf(exitCreate, "%s cannot be changed: %v", filepath.Join(s.ConfigDir, "main.cf"), err)
	if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "Permission denied") {
		return f.or("run it as root: sudo postseal setup postfix --apply")
	}
	return f
}
