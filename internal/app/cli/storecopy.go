package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"postseal/store"
	"postseal/store/engines"
)

func (a storeCommands) storeCopyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy a history into another database, such as SQLite into PostgreSQL",
		Long: `Copy copies verdicts, learned facts, losses, the reports of others with those that could not
be read, and the positions of the journals from one database into another. Stop the daemons
that write to FROM first, copy, name TO in [store]
url, and start them: they continue where they stopped. Copy waits until it is sure that they
have stopped, at most 40 seconds. Rows that TO already has are kept. To
continue an interrupted copy, run the command again.

Days with finished reports stay in FROM, and are not reported again.

Exit codes: 0 done, 64 not two databases, 66 no such database, 69 one of them cannot be
reached, 75 a daemon writes to FROM, or interrupted.`,
		Example: "  postseal store copy sqlite:/var/lib/postseal/store.db postgres://postseal@db/postseal",
		Args:    exactly("FROM", "TO"),
		RunE:    func(c *cobra.Command, args []string) error { return a.copyStore(c.Context(), args[0], args[1]) },
	}
}

func (a storeCommands) copyStore(ctx context.Context, from, to string) error {
	for _, address := range []string{from, to} {
		if err := store.CheckURL(address); err != nil {
			return usage("%s: %v", store.RedactURL(address), err).or("use a value such as sqlite:/var/lib/postseal/store.db")
		}
	}
	if from == to {
		return usage("store copy: both databases are the same")
	}
	clock, err := a.clock()
	if err != nil {
		return err
	}
	source, err := engines.Open(ctx, from, engines.Options{ReadOnly: true})
	if err != nil {
		return storeFailure(from, err)
	}
	defer source.Close()
	target, err := engines.Open(ctx, to, engines.Options{})
	if err != nil {
		return storeFailure(to, err)
	}
	defer target.Close()
	var c store.Copied
	err = a.onceStopped(ctx, func() error {
		var err error
		c, err = store.Copy(ctx, source, target, clock(), func(rows int) {
			if rows%100000 == 0 && rows > 0 {
				a.hint("%d verdicts are copied", rows)
			}
		})
		return err
	})
	switch {
	case errors.Is(err, store.ErrInUse):
		return failf(exitTempFail, "%s: a daemon writes to it", store.RedactURL(from)).or("stop it, and copy again")
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return storeFailure(to, err)
	}
	a.page().Notef("%d of %d verdicts, %d facts, %d received reports and %d nodes are copied", c.Added, c.Rows, c.Facts, c.Read, c.Nodes)
	if c.Unsent > 0 {
		a.warn("%d reports of the old database are not sent, and the new one does not send them", c.Unsent)
	}
	return nil
}

// stopTime is longer than a daemon that was stopped looks like one that writes.
var stopTime = 40 * time.Second // shorter in tests

// onceStopped calls f, and again while that says that a daemon writes to the database: one that was just stopped looks the
// same for half a minute.
func (a storeCommands) onceStopped(ctx context.Context, f func() error) error {
	for began, told := time.Now(), false; ; {
		err := f()
		if !errors.Is(err, store.ErrInUse) || time.Since(began) >= stopTime {
			return err
		}
		if !told {
			a.hint("a daemon wrote to the database within the last half minute: waiting until it is sure that it has stopped")
			told = true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
