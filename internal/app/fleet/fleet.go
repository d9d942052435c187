// Package fleet is what the daemons of one PostgreSQL share besides the history: the keys of
// links, the logins of the console, the configuration, and whose turn a job is. The tables are
// those of the migrations fleet and work of store/postgres. A daemon works without it: each user of this package
// says what holds while the database is away.
package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"postseal/store/postgres"
)

// Prefix begins the URL of a database that several daemons can share.
const Prefix = "postgres"

// Shareable reports whether several daemons can share a database.
func Shareable(address string) bool { return strings.HasPrefix(address, Prefix) }

// The connections of a daemon for this package, and of those the ones that serve requests of the
// console. The rest is for the daemon itself, whatever the console is asked.
const (
	connections = 4
	forLogins   = 2
)

// timeout bounds a statement.
const timeout = 3 * time.Second

// now is the clock of the database, in milliseconds since 1970: that of a host may be wrong.
const now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

// DB is the shared part of a database. It is safe for concurrent use.
type DB struct {
	pool   *pgxpool.Pool
	logins chan struct{} // an element for each statement of the console
}

// Open returns the database of a URL. It connects when it is used.
func Open(address string) (*DB, error) {
	pool, err := postgres.Pool(context.Background(), address, connections)
	if err != nil {
		return nil, err
	}
	return &DB{pool: pool, logins: make(chan struct{}, forLogins)}, nil
}

// Close ends all connections.
func (d *DB) Close() { d.pool.Close() }

// Missing reports whether an error says that the tables are not there yet: the first daemon of
// this version makes them.
func Missing(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "42P01" || e.Code == "3F000")
}

// in runs f in a transaction. A lock other than 0 is held until it ends.
func (d *DB) in(ctx context.Context, lock int64, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if lock != 0 {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
				return err
			}
		}
		return f(ctx, tx)
	})
}

// The advisory locks: "flee" and a number. They end with their transaction, so they hold with
// pgbouncer too.
const (
	secretLock int64 = 0x666c6565_00000001 + iota
	configLock
	noticeLock
)

func (d *DB) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tag, err := d.pool.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}
