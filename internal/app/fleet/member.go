package fleet

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Member is a daemon as it shows itself to the others.
type Member struct {
	ID      string // of this start
	Name    string // of the host
	Place   string // what this start has in common with earlier ones, such as its state directory
	Version string
	Login   []byte // the proof of its console token, by which the others know logins that used it; nil without one
	// Config is the number of the shared configuration in force, 0 for none, OwnConfig for a
	// host that does not share its configuration.
	Config int64
	// Judged is the newest shared configuration that it looked at, and Judgement what speaks
	// against it: "" if nothing does.
	Judged    int64
	Judgement string

	Seen time.Time     // when it last showed itself, by the clock of the database
	Skew time.Duration // by how much its clock is ahead of that of the database
	Away bool          // it did not show itself for some time
}

// OwnConfig is in the place of a number where a host uses its own configuration only.
const OwnConfig = -1

// The times after which a member is away, and forgotten. A login holds no longer than that.
const (
	awayAfter   = 15 * time.Second
	forgetAfter = 7 * 24 * time.Hour
)

// Show writes a member, with its clock as at. The rows of earlier starts go: at once with first, else
// when they are silent, since a host may be a copy of another.
func (d *DB) Show(ctx context.Context, m *Member, at time.Time, first bool) error {
	return d.in(ctx, 0, func(ctx context.Context, tx pgx.Tx) error {
		login := m.Login
		if login == nil {
			login = []byte{}
		}
		_, err := tx.Exec(ctx, `INSERT INTO postseal.member AS t (id, name, place, version, login, config_n, judged_n, judgement, skew_ms, started_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint - `+now+`, `+now+`, `+now+`)
			ON CONFLICT (id) DO UPDATE SET login = excluded.login, config_n = excluded.config_n, judged_n = excluded.judged_n, judgement = excluded.judgement,
			skew_ms = excluded.skew_ms, seen_at = excluded.seen_at`, m.ID, m.Name, m.Place, m.Version, login, m.Config, m.Judged, m.Judgement, at.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM postseal.member WHERE name = $1 AND place = $2 AND id <> $3 AND ($4 OR seen_at < `+now+` - $5::bigint) OR seen_at < `+now+` - $6::bigint`,
			m.Name, m.Place, m.ID, first, awayAfter.Milliseconds(), forgetAfter.Milliseconds())
		return err
	})
}

// Leave shows that a member stops, so that others do its jobs. Logins with its token hold on them.
func (d *DB) Leave(ctx context.Context, id string) error {
	if _, err := d.exec(ctx, "DELETE FROM postseal.lease WHERE holder = $1", id); err != nil {
		return err
	}
	_, err := d.exec(ctx, "UPDATE postseal.member SET seen_at = seen_at - $2::bigint WHERE id = $1", id, awayAfter.Milliseconds())
	return err
}

// Members lists the daemons by name.
func (d *DB) Members(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, `SELECT id, name, version, login, config_n, judged_n, judgement, skew_ms, seen_at, seen_at < `+now+` - $1::bigint FROM postseal.member ORDER BY name, started_at`,
		awayAfter.Milliseconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Member, err error) {
		var skew, seen int64
		err = row.Scan(&m.ID, &m.Name, &m.Version, &m.Login, &m.Config, &m.Judged, &m.Judgement, &skew, &seen, &m.Away)
		m.Skew, m.Seen = time.Duration(skew)*time.Millisecond, time.UnixMilli(seen).UTC()
		return m, err
	})
}
