package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"postseal/domain"
	"postseal/internal/app/fleet"
	"postseal/internal/app/history"
	"postseal/store"
)

// storeCommands are the commands below store.
type storeCommands struct{ *app }

func (a storeCommands) storeCommand() *cobra.Command {
	return a.group("store", "Look after the history of verdicts", a.storeStatusCommand(), a.storeCheckCommand(), a.storePruneCommand(), a.storeMigrateCommand(),
		a.storeForgetCommand(), a.storeExportCommand(), a.storeBackupCommand(), a.storeCopyCommand())
}

func (a storeCommands) storeStatusCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show the database, its nodes and the missing verdicts",
		Long:    "Status shows the database, the daemons that write to it with the time up to which each has\nwritten, and the verdicts that are known to be missing.\n\nExit codes: 0 shown, 66 no history, 69 the database cannot be reached.",
		Example: "  postseal store status",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				clock, err := a.clock()
				if err != nil {
					return err
				}
				s, err := history.StatusOf(ctx, db, clock())
				if err != nil {
					return err
				}
				if err := a.addSkew(ctx, address, s); err != nil {
					return err
				}
				return a.page().StoreStatus(s)
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}

// addSkew adds the clocks of the hosts that share the database, as each last compared it.
func (a storeCommands) addSkew(ctx context.Context, address string, s *history.Status) error {
	address, err := a.storeAddress(address)
	if err != nil || !fleet.Shareable(address) {
		return err
	}
	db, err := fleet.Open(address)
	if err != nil {
		return err
	}
	defer db.Close()
	members, err := db.Members(ctx)
	if err != nil && !fleet.Missing(err) {
		return err
	}
	skewOf(s, members)
	return nil
}

func skewOf(s *history.Status, members []fleet.Member) {
	for i := range s.Nodes {
		for _, m := range members {
			if skew := m.Skew.Seconds(); m.Name == s.Nodes[i].Name && !m.Away {
				s.Nodes[i].Skew = &skew
			}
		}
	}
}

func (a storeCommands) storeCheckCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:     "check",
		Short:   "Read the whole database and report damage",
		Long:    "Check reads every day of the history, and reports damage.\n\nExit codes: 0 no damage, 65 damaged, 66 no history, 69 the database cannot be reached.",
		Example: "  postseal store check",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				problems, err := db.Check(ctx)
				if err != nil {
					return err
				}
				if a.wantJSON() {
					return a.json(struct {
						Schema   string   `json:"schema"`
						Problems []string `json:"problems"`
					}{"postseal.store-check/1", append([]string{}, problems...)})
				}
				if len(problems) == 0 {
					a.page().Note("the database is not damaged")
					return nil
				}
				for _, p := range problems {
					a.page().Note(p)
				}
				return failf(exitData, "the database is damaged").or("restore a backup, or move the file away: the daemon creates a new one")
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}

func (a storeCommands) storePruneCommand() *cobra.Command {
	address, age := "", ""
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove days that are beyond the limits of [store]",
		Long: `Prune does at once what the daemon does each minute: it removes whole days that are older
than [store] history or over max_size, reduces addresses as ip says, and in PostgreSQL makes
the tables of this day and the next three. --before removes all days that ended before a
time.

A clock that is more than a day ahead of the last time that the daemon or this command did
so may be wrong: then only --before with a date removes anything.

Exit codes: 0 done, 66 no history, 69 the database cannot be reached, 78 the clock may be
wrong.`,
		Example: "  postseal store prune\n  postseal store prune --before 7d",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			now, err := a.clock()
			if err != nil {
				return err
			}
			return a.openStore(c.Context(), address, false, func(ctx context.Context, db store.Store) error {
				keep, at, err := a.retention(age, now())
				if err != nil {
					return err
				}
				dropped, err := store.Sweep(ctx, db, keep, at)
				for _, d := range dropped {
					a.page().Note("removed " + d.String())
				}
				var clock *store.ClockError
				if errors.As(err, &clock) {
					return failf(exitConfig, "%v", err).or("set the clock; if it is right, give the date yourself, such as --before %s", at.Add(-keep.History).UTC().Format(time.DateOnly))
				}
				if err == nil && age == "" {
					err = db.MakeAhead(ctx, store.DayOf(store.Millis(at)), store.DaysAhead)
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&age, "before", "", "remove days that ended before `TIME`: 30d, 2026-11-02")
	addStoreFlag(c, &address)
	return c
}

// retention is what [store] keeps, or with --before what did not end before a time, and the present time.
func (a storeCommands) retention(before string, now time.Time) (keep store.Retention, at time.Time, err error) {
	keep = store.Retention{History: time.Duration(a.config.Store.History), MaxBytes: int64(a.config.Store.MaxSize), IP: a.config.Store.IP}
	if before == "" {
		return keep, now, nil
	}
	oldest, _, err := store.ParseTime(before, now)
	if err != nil {
		return keep, now, usage("--before %q is not a valid time", before).or("use a value such as 30d, 12h or 2026-11-02")
	}
	if isDate(before) && oldest.Before(now) {
		keep.History = 0
		return keep, oldest, nil
	}
	keep.History = now.Sub(oldest)
	return keep, now, nil
}

// isDate reports whether a time was given as a date, so that it does not depend on the clock.
func isDate(age string) bool {
	_, err := time.Parse(time.DateOnly, age)
	return err == nil
}

func (a storeCommands) storeMigrateCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:     "migrate",
		Short:   "Migrate the schema of the database to that of this version",
		Long:    "Migrate does what the daemon does when it starts: it makes the tables that are missing.\nA schema that is newer within the same major version is left as it is.\n\nExit codes: 0 done, 69 the database cannot be reached, 78 another major version.",
		Example: "  postseal store migrate",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.openStore(c.Context(), address, false, func(ctx context.Context, db store.Store) error {
				s, err := db.Info(ctx)
				if err == nil {
					a.page().Notef("%s has schema %d", s.Engine, s.Schema)
				}
				return err
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}

func (a storeCommands) storeForgetCommand() *cobra.Command {
	address, name, network := "", "", ""
	c := &cobra.Command{
		Use:   "forget --domain DOMAIN|--ip NETWORK",
		Short: "Remove everything that is kept of a domain or an address",
		Long: `Forget removes the verdicts that name a domain, or a name below it, in any field, or that
came from an address or network, and everything learned about the domain. The file is
rewritten, so nothing remains in it. You have to remove copies yourself: backups, exports,
the log, the journal (up to an hour) and the bundles.

Exit codes: 0 done, 66 no history, 69 the database cannot be reached.`,
		Example: "  postseal store forget --domain acme.test\n  postseal store forget --ip 192.0.2.25",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := forgotten(name, network)
			if err != nil {
				return err
			}
			return a.openStore(c.Context(), address, false, func(ctx context.Context, db store.Store) error {
				n, err := db.Forget(ctx, f)
				if err != nil {
					return err
				}
				a.page().Notef("%d verdicts of %s%s are removed", n, name, network)
				return nil
			})
		},
	}
	c.Flags().StringVar(&name, "domain", "", "`DOMAIN`, with all names below it")
	c.Flags().StringVar(&network, "ip", "", "`ADDRESS` or network of clients")
	addStoreFlag(c, &address)
	return c
}

func forgotten(name, network string) (f store.Forgotten, err error) {
	switch {
	case (name == "") == (network == ""):
		return f, usage("store forget: give --domain or --ip")
	case name != "":
		parsed, err := domain.Parse(name)
		if err != nil {
			return f, notDomain("--domain", err)
		}
		f.Domain = string(parsed)
		return f, nil
	}
	q, err := store.ParseQuery("ip:"+network, time.Now(), nil)
	if err != nil {
		return f, usage("--ip %q is not an address or network", network)
	}
	f.Net = q.Terms[0].Net
	return f, nil
}

func (a storeCommands) storeExportCommand() *cobra.Command {
	s, address, after := searchFlags{}, "", ""
	c := &cobra.Command{
		Use:   "export [QUERY]...",
		Short: "Write verdicts as JSON lines, the oldest first",
		Long: `Export writes one object of schema postseal.row/1 per line, the oldest first, for other
databases and programs. To continue later, pass the id of the last line to --after.

Exit codes: 0 done, 66 no history, 69 the database cannot be reached.`,
		Example: "  postseal store export --since 1d --output day.jsonl\n  postseal store export --after 3758298412711559168",
		RunE: func(c *cobra.Command, words []string) error {
			q, err := a.parseEach(s.text(words))
			if err != nil {
				return err
			}
			var last int64 = 1
			if after != "" {
				if err := json.Unmarshal([]byte(after), &last); err != nil || last < 1 {
					return usage("--after %q is not the id of a row", after)
				}
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error { return a.export(ctx, db, q, last) })
		},
	}
	s.add(c.Flags())
	c.Flags().StringVar(&after, "after", "", "begin after the row with this `ID`")
	addStoreFlag(c, &address)
	return c
}

func (a storeCommands) export(ctx context.Context, db store.Store, q *store.Query, last int64) error {
	out := json.NewEncoder(a.out)
	out.SetEscapeHTML(false)
	for {
		rows, err := store.Newer(ctx, db, q, last, history.MaxLimit)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := out.Encode(&rows[i]); err != nil {
				return failf(exitCreate, "the output cannot be written: %v", err)
			}
			last = rows[i].ID
		}
		if len(rows) < history.MaxLimit {
			return nil
		}
	}
}

func (a storeCommands) storeBackupCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy an SQLite history while the daemon writes to it",
		Long: `Backup writes a consistent copy of an SQLite history to a new file. To restore it, stop
the daemon, put the file in the place of the database, remove the files that end in -wal
and -shm, and start the daemon: it ships again what its journal still has. PostgreSQL is
backed up with pg_dump -n postseal.

Exit codes: 0 done, 64 not an SQLite history, 66 no history, 73 the file cannot be created.`,
		Example: "  postseal store backup /var/backups/postseal-history.db",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				err := db.Backup(ctx, args[0])
				switch {
				case errors.Is(err, errors.ErrUnsupported):
					return usage("this database is backed up with its own programs").or("use pg_dump -n postseal")
				case err != nil:
					return failf(exitCreate, "%s: %v", args[0], err)
				}
				return nil
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}
