package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/internal/app/view"
)

// fleetWait is how long a push waits for the hosts, twice: they look once per second.
const fleetWait = 10 * time.Second

// pushFlags are the flags of config push and rollback.
type pushFlags struct {
	store, note string
	force       bool
}

func (f *pushFlags) add(c *cobra.Command) {
	addStoreFlag(c, &f.store)
	c.Flags().StringVar(&f.note, "note", "", "a `TEXT` for the history")
	c.Flags().BoolVar(&f.force, "force", false, "push even if a running host refuses it")
}

func (a configCommands) configPushCommand() *cobra.Command {
	f := pushFlags{}
	c := &cobra.Command{
		Use:   "push FILE",
		Short: "Share the rules about mail with all hosts of a database",
		Long: `Push puts FILE into the PostgreSQL of [store], for all hosts with [fleet] config =
"shared". FILE contains enforce, [network], [spf], [policy], [dkim], [dmarc], [arc],
[[exempt]], [[rule]] or [[expect]]: each replaces that of a host's own file, and [[expect]]
entries are added to it.

Before anything changes, the file is checked with the configuration of this host, and each
running host checks it with its own and evaluates all [[expect]] entries. Unless all of them
can use it, nothing changes. A host that is down uses it when it starts.

Exit codes: 0 every running host uses it, 1 a host refuses it or does not answer, 66 no such
file, 69 the database cannot be reached, 75 another push was faster, 78 FILE has errors.`,
		Example: `  postseal config push --note "bulk.example signs now" /etc/postseal/shared.toml`,
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			shared, err := conf.Pack(args[0])
			var wrong *conf.Error
			switch {
			case errors.As(err, &wrong):
				return failf(exitConfig, "%s", wrong.Error())
			case err != nil:
				return openFailure(args[0], err)
			}
			return a.withFleet(f.store, func(db *fleet.DB) error { return a.push(c.Context(), db, shared, f) })
		},
	}
	f.add(c)
	return c
}

func (a configCommands) configRollbackCommand() *cobra.Command {
	f := pushFlags{}
	c := &cobra.Command{
		Use:   "rollback NUMBER",
		Short: "Share an earlier configuration again",
		Long: `Rollback pushes the shared configuration with this NUMBER again, under a new number;
postseal config history shows the numbers.

Exit codes: as for config push; 66 no such number.`,
		Example: `  postseal config rollback 12`,
		Args:    exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withFleet(f.store, func(db *fleet.DB) error {
				old, shared, err := a.sharedConfig(c.Context(), db, args[0])
				if err != nil {
					return err
				}
				f.note = cmp.Or(f.note, "rollback to "+strconv.FormatInt(old.N, 10))
				return a.push(c.Context(), db, shared, f)
			})
		},
	}
	f.add(c)
	return c
}

func (a configCommands) configHistoryCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:   "history [NUMBER]",
		Short: "List the shared configurations and what each host uses, or print one",
		Long: `History lists the shared configurations, the newest first, and for each host the number in
force and why it cannot use a newer one. With NUMBER it prints the text of one.

Exit codes: 0 shown, 66 no such number, 69 the database cannot be reached.`,
		Example: `  postseal config history
  postseal config history 12 >shared.toml`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withFleet(address, func(db *fleet.DB) error {
				if len(args) == 1 {
					_, shared, err := a.sharedConfig(c.Context(), db, args[0])
					if err == nil {
						_, err = a.out.Write(shared.Text)
					}
					return err
				}
				const most = 100
				list, err := db.Configs(c.Context(), most)
				if err != nil {
					return err
				}
				members, err := db.Members(c.Context())
				if err != nil {
					return err
				}
				return a.page().SharedConfigs(list, members)
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}

// withFleet opens the shared part of the database.
func (a configCommands) withFleet(address string, f func(*fleet.DB) error) error {
	if a.flags.config == "" {
		if err := a.usualConfig(); err != nil {
			return err
		}
	}
	address, err := a.storeAddress(address)
	if err != nil {
		return err
	}
	if !fleet.Shareable(address) {
		return usage("hosts share a configuration through PostgreSQL, and [store] url is another database").or("name one with --store postgres://…")
	}
	db, err := fleet.Open(address)
	if err != nil {
		return storeFailure(address, err)
	}
	defer db.Close()
	return fleetFailure(address, f(db))
}

// fleetFailure explains why the shared part of a database cannot be used; nil if it can.
func fleetFailure(address string, err error) error {
	switch {
	case err == nil:
		return nil
	case fleet.Missing(err):
		return failf(exitNoInput, "no daemon has used this database yet").or("start one, or run postseal store migrate")
	}
	return storeFailure(address, err)
}

// sharedConfig returns the shared configuration of a number.
func (a configCommands) sharedConfig(ctx context.Context, db *fleet.DB, number string) (c fleet.Config, s *conf.Shared, err error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 {
		return c, nil, usage("%q is not the number of a shared configuration", number).or("postseal config history lists them")
	}
	if c, err = db.ConfigOf(ctx, n); errors.Is(err, fleet.ErrNoConfig) {
		return c, nil, failf(exitNoInput, "%v", err).or("postseal config history lists them")
	}
	if err != nil {
		return c, nil, err
	}
	s = &conf.Shared{}
	if err := json.Unmarshal([]byte(c.Body), s); err != nil {
		return c, nil, failf(exitData, "the shared configuration %d cannot be read: %v", n, err)
	}
	return c, s, nil
}

// push checks a configuration here and on every running host, and then lets them use it.
func (a configCommands) push(ctx context.Context, db *fleet.DB, s *conf.Shared, f pushFlags) error {
	clock, err := a.clock()
	if err != nil {
		return err
	}
	_, warnings, err := conf.LoadShared(a.flags.config, s, clock())
	var wrong *conf.Error
	switch {
	case errors.As(err, &wrong):
		return failf(exitConfig, "%s", wrong.Error())
	case err != nil:
		return openFailure(a.flags.config, err)
	}
	for _, w := range warnings {
		w.Warning = false
		a.warn("%s", w)
	}
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	n, err := db.Stage(ctx, &fleet.Config{Body: string(body), Author: author(), Note: f.note})
	if err != nil {
		return err
	}
	defer func() { db.Unstage(context.WithoutCancel(ctx), n) }() //nolint:errcheck // a later push drops it too
	hosts, err := a.waitForHosts(ctx, db, func(m *fleet.Member) bool { return m.Judged >= n })
	if err != nil {
		return err
	}
	if !f.force && view.Refused(hosts, n) {
		a.setExit(exitNo)
		return a.page().Pushed(n, false, hosts)
	}
	if err := db.Activate(ctx, n); errors.Is(err, fleet.ErrNotStaged) {
		return failf(exitTempFail, "%v", err).or("postseal config history shows it")
	} else if err != nil {
		return err
	}
	if hosts, err = a.waitForHosts(ctx, db, func(m *fleet.Member) bool { return m.Config == n || m.Judged >= n && m.Judgement != "" }); err != nil {
		return err
	}
	for i := range hosts {
		if hosts[i].Config != n {
			a.setExit(exitNo)
		}
	}
	return a.page().Pushed(n, true, hosts)
}

// waitForHosts returns the running hosts that share their configuration, once all of them are done or
// the time is over.
func (a configCommands) waitForHosts(ctx context.Context, db *fleet.DB, done func(*fleet.Member) bool) (hosts []fleet.Member, err error) {
	for end := time.Now().Add(fleetWait); ; {
		all, err := db.Members(ctx)
		if err != nil {
			return nil, err
		}
		waiting := false
		hosts = nil
		for i := range all {
			if m := &all[i]; !m.Away && m.Config != fleet.OwnConfig {
				hosts, waiting = append(hosts, *m), waiting || !done(m)
			}
		}
		if !waiting || time.Now().After(end) {
			return hosts, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// author names who pushes.
func author() string {
	name := "?"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
