package fleet

import (
	"context"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"postseal/internal/app/failpoint"
)

// Notices calls step with the alarms of all hosts, a text by the name of each alarm, and with the time
// of the database. Of several hosts one does this at a time, and each sees what the one before left. What
// step changes is stored, unless there is an error; step may then have been called all the same.
func (d *DB) Notices(ctx context.Context, step func(now time.Time, told map[string]string)) error {
	return d.in(ctx, noticeLock, func(ctx context.Context, tx pgx.Tx) error {
		var at int64
		if err := tx.QueryRow(ctx, "SELECT "+now).Scan(&at); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "SELECT name, seen FROM postseal.notice")
		if err != nil {
			return err
		}
		told := map[string]string{}
		var name, seen string
		if _, err := pgx.ForEachRow(rows, []any{&name, &seen}, func() error { told[name] = seen; return nil }); err != nil {
			return err
		}
		before := maps.Clone(told)
		step(time.UnixMilli(at).UTC(), told)
		for name, seen := range told {
			if before[name] == seen {
				continue
			}
			if _, err := tx.Exec(ctx, "INSERT INTO postseal.notice (name, seen) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seen = excluded.seen", name, seen); err != nil {
				return err
			}
		}
		for name := range before {
			if _, still := told[name]; still {
				continue
			}
			if _, err := tx.Exec(ctx, "DELETE FROM postseal.notice WHERE name = $1", name); err != nil {
				return err
			}
		}
		failpoint.Reach("noticed")
		return nil
	})
}

// forgetClaims is how long a claim that ended stays in the table.
const forgetClaims = 24 * time.Hour

// Claim takes what is to be done once, such as a mail, for a while. If another one has it, it returns its
// host. The caller calls Keep when it is done, or Drop if it failed.
func (d *DB) Claim(ctx context.Context, what string, m *Member, keep time.Duration) (mine bool, other string, err error) {
	if _, err := d.exec(ctx, "DELETE FROM postseal.lease WHERE until_at < "+now+" - $1::bigint", forgetClaims.Milliseconds()); err != nil {
		return false, "", err
	}
	if mine, err = d.lease(ctx, what, m, keep); err != nil || mine {
		return mine, "", err
	}
	held, err := d.Leases(ctx)
	return false, held[what], err
}

// Keep keeps a claim for longer: what it is for was done.
func (d *DB) Keep(ctx context.Context, what string, m *Member, keep time.Duration) error {
	_, err := d.lease(ctx, what, m, keep)
	return err
}

// Drop ends a claim, so that another host can try.
func (d *DB) Drop(ctx context.Context, what string, m *Member) error {
	_, err := d.exec(ctx, "DELETE FROM postseal.lease WHERE name = $1 AND holder = $2", what, m.ID)
	return err
}
