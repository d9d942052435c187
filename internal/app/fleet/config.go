package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The states of a shared configuration.
const (
	Staged   = "staged"   // every daemon says whether it could use it
	Active   = "active"   // every daemon uses it
	Replaced = "replaced" // it was active
	Dropped  = "dropped"  // it never was
)

// Config is a shared configuration.
type Config struct {
	N      int64
	State  string
	Body   string // for the daemons
	Author string
	Note   string
	Made   time.Time
	Active time.Time // when it became active, zero if it never did
}

// ErrNotStaged reports that another configuration was staged meanwhile.
var ErrNotStaged = errors.New("another configuration was pushed meanwhile")

// ErrNoConfig reports a number that no configuration has.
var ErrNoConfig = errors.New("no shared configuration has this number")

// keepConfigs is how many configurations are kept.
const keepConfigs = 200

// Stage adds a configuration for the daemons to look at. One that is staged is dropped.
func (d *DB) Stage(ctx context.Context, c *Config) (n int64, err error) {
	err = d.in(ctx, configLock, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE postseal.config SET state = 'dropped' WHERE state = 'staged'"); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `INSERT INTO postseal.config (n, state, body, author, note, made_at)
			SELECT coalesce(max(n), 0) + 1, 'staged', $1, $2, $3, `+now+` FROM postseal.config RETURNING n`, c.Body, c.Author, c.Note).Scan(&n)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM postseal.config WHERE n <= $1 AND state IN ('replaced', 'dropped')", n-keepConfigs)
		return err
	})
	return n, err
}

// Activate makes a staged configuration that of all daemons. The error is ErrNotStaged if it is not
// staged any more.
func (d *DB) Activate(ctx context.Context, n int64) error {
	return d.in(ctx, configLock, func(ctx context.Context, tx pgx.Tx) error {
		var state string
		err := tx.QueryRow(ctx, "SELECT state FROM postseal.config WHERE n = $1", n).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && state != Staged && state != Active {
			return ErrNotStaged
		}
		if err != nil || state == Active {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE postseal.config SET state = 'replaced' WHERE state = 'active'"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE postseal.config SET state = 'active', active_at = "+now+" WHERE n = $1", n)
		return err
	})
}

// Unstage drops a configuration that is still staged.
func (d *DB) Unstage(ctx context.Context, n int64) error {
	_, err := d.exec(ctx, "UPDATE postseal.config SET state = 'dropped' WHERE n = $1 AND state = 'staged'", n)
	return err
}

// Current returns the numbers of the active and of the staged configuration, 0 for none.
func (d *DB) Current(ctx context.Context) (active, staged int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, "SELECT coalesce(max(n) FILTER (WHERE state = 'active'), 0), coalesce(max(n) FILTER (WHERE state = 'staged'), 0) FROM postseal.config").Scan(&active, &staged)
	return active, staged, err
}

const configColumns = "n, state, author, note, made_at, active_at"

func scanConfig(row pgx.Row, more ...any) (c Config, err error) {
	var made, active int64
	err = row.Scan(append([]any{&c.N, &c.State, &c.Author, &c.Note, &made, &active}, more...)...)
	c.Made = time.UnixMilli(made).UTC()
	if active > 0 {
		c.Active = time.UnixMilli(active).UTC()
	}
	return c, err
}

// ConfigOf returns a configuration with its body. The error is ErrNoConfig if it does not exist.
func (d *DB) ConfigOf(ctx context.Context, n int64) (c Config, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body string
	c, err = scanConfig(d.pool.QueryRow(ctx, "SELECT "+configColumns+", body FROM postseal.config WHERE n = $1", n), &body)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("%w: %d", ErrNoConfig, n)
	}
	c.Body = body
	return c, err
}

// Configs lists the newest configurations without their bodies.
func (d *DB) Configs(ctx context.Context, limit int) ([]Config, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, "SELECT "+configColumns+" FROM postseal.config ORDER BY n DESC LIMIT $1", limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Config, error) { return scanConfig(row) })
}
