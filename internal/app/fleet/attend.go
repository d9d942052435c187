package fleet

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A worker shows itself in the table of leases, by rows that end soon after it.
const (
	attends = "worker/" // and the holder
	leaves  = "unseen/" // and the ID of a work that it cannot do, "/" and the holder

	attendFor = 15 * time.Second
	leaveFor  = 90 * time.Second // a worker looks again for what it did not see after a minute
)

// Attend implements Queue.
func (d *DB) Attend(ctx context.Context, holder, host string, except []string) error {
	return d.in(ctx, 0, func(ctx context.Context, tx pgx.Tx) error {
		const show = `INSERT INTO postseal.lease AS t (name, holder, holder_name, until_at) VALUES ($1, $2, $3, ` + now + ` + $4::bigint)
			ON CONFLICT (name) DO UPDATE SET until_at = excluded.until_at`
		if _, err := tx.Exec(ctx, show, attends+holder, holder, host, attendFor.Milliseconds()); err != nil {
			return err
		}
		for _, id := range except {
			if _, err := tx.Exec(ctx, show, leaves+id+"/"+holder, holder, host, leaveFor.Milliseconds()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "DELETE FROM postseal.lease WHERE (starts_with(name, $1) OR starts_with(name, $2)) AND until_at < "+now, attends, leaves)
		return err
	})
}

// Depart implements Queue.
func (d *DB) Depart(ctx context.Context, holder string) error {
	_, err := d.exec(ctx, "DELETE FROM postseal.lease WHERE holder = $1", holder)
	return err
}

// Workers implements Queue.
func (d *DB) Workers(ctx context.Context, id string) (able int, unable []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, `SELECT w.holder_name, EXISTS (SELECT FROM postseal.lease u WHERE u.name = $2 || $3 || '/' || w.holder AND u.until_at >= `+now+`)
		FROM postseal.lease w WHERE starts_with(w.name, $1) AND w.until_at >= `+now+` ORDER BY 1`, attends, leaves, id)
	if err != nil {
		return 0, nil, err
	}
	var host string
	var unseen bool
	_, err = pgx.ForEachRow(rows, []any{&host, &unseen}, func() error {
		switch {
		case !unseen:
			able++
		case len(unable) == 0 || unable[len(unable)-1] != host:
			unable = append(unable, host)
		}
		return nil
	})
	return able, unable, err
}

// Attend implements Queue: the command does the work of one host itself, so no other process has to show
// itself.
func (l *Local) Attend(context.Context, string, string, []string) error { return nil }

// Depart implements Queue.
func (l *Local) Depart(context.Context, string) error { return nil }

// Workers implements Queue.
func (l *Local) Workers(context.Context, string) (able int, unable []string, err error) {
	return 1, nil, nil
}
