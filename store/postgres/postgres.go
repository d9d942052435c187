// Package postgres is the history of several hosts, in PostgreSQL 14 or later: one table,
// partitioned by UTC day, in the schema postseal.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"postseal/store"
	"postseal/store/internal/sqlreports"
	"postseal/store/internal/sqltext"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema is where all tables are.
const schema = "postseal"

// readers bounds the connections of searches; one more writes.
const readers = 4

// Options say how a database is opened. The zero value is for the daemon.
type Options struct {
	ReadOnly bool // nothing is created or migrated
}

// DB is a database. It implements store.Store.
type DB struct {
	*reports
	shared *sql.DB // of reports, over pool

	pool     *pgxpool.Pool
	sequence atomic.Int64

	mu   sync.Mutex
	days map[store.Day]bool // whose partition is known to exist
	full span
}

var _ store.Store = (*DB)(nil)

// reports is the part of the database that both engines share.
type reports = sqlreports.DB

var dialect = sqltext.Dialect{Placeholder: func(n int) string { return fmt.Sprintf("$%d", n) }, IP: func(a netip.Addr) any { return a }, Action: "(action || '')", ID: "id"}

// Open connects, and migrates the schema. A schema that is newer within the same major
// version is used as it is.
func Open(ctx context.Context, address string, o Options) (*DB, error) {
	c, err := poolConfig(address, readers+1)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := migrate(ctx, c.ConnConfig.Copy()); err != nil {
			return nil, err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	d := &DB{pool: pool, days: map[store.Day]bool{}}
	d.useReports()
	if err := checkMajor(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return d, nil
}

// Pool returns connections for tables in the same schema that are not of the history. It
// connects when they are used.
func Pool(ctx context.Context, address string, most int32) (*pgxpool.Pool, error) {
	c, err := poolConfig(address, most)
	if err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, c)
}

func poolConfig(address string, most int32) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, errors.New("the URL of the database cannot be read") // the error of pgx may hold the password
	}
	if plain(c.ConnConfig) && sslmode(address) != "disable" {
		return nil, errors.New("a database on another host needs TLS: add sslmode=verify-full to its URL (sslmode=disable connects without it)")
	}
	c.MaxConns = most
	c.ConnConfig.RuntimeParams["application_name"] = "postseal"
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // works behind pgbouncer in transaction mode
	c.PrepareConn = new(guard).prepare
	return c, nil
}

// plain reports whether another host may be reached without TLS. The modes allow and prefer, which
// is the default of libpq, fall back to that when someone on the way refuses TLS.
func plain(c *pgx.ConnConfig) bool {
	if !local(c.Host) && c.TLSConfig == nil {
		return true
	}
	return slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return !local(f.Host) && f.TLSConfig == nil })
}

// sslmode returns what the URL or the environment says.
func sslmode(address string) string {
	if u, err := url.Parse(address); err == nil && u.Query().Has("sslmode") {
		return u.Query().Get("sslmode")
	}
	return os.Getenv("PGSSLMODE")
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && ip.IsLoopback()
}

// migrate brings the schema forward, one process at a time.
func migrate(ctx context.Context, c *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*c)
	defer db.Close()
	db.SetMaxOpenConns(2)
	if err := atMajor(ctx, db); err != nil {
		return err
	}
	if isNewest(ctx, db) { // goose would write to find that out, which a replica refuses
		return nil
	}
	var readOnly string
	if err := db.QueryRowContext(ctx, "SHOW transaction_read_only").Scan(&readOnly); err == nil && readOnly == "on" { // goose would try for minutes
		return errors.New("the schema must be migrated first, and this database takes no writes: it is a replica, or read-only for this role")
	}
	// A lease in a table, not a lock of the session: that would be of another session behind
	// pgbouncer.
	locker, err := lock.NewPostgresTableLocker(lock.WithTableName(schema+".goose_lock"), lock.WithTableLeaseDuration(time.Minute), lock.WithTableHeartbeatInterval(10*time.Second),
		lock.WithTableLockTimeout(time.Second, 300), lock.WithTableUnlockTimeout(time.Second, 60))
	if err != nil {
		return err
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithLocker(locker), goose.WithTableName(schema+".goose_db_version"))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// isNewest reports whether there is nothing to migrate.
func isNewest(ctx context.Context, db *sql.DB) bool {
	var version int64
	err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+schema+".goose_db_version WHERE is_applied").Scan(&version)
	return err == nil && version >= Newest()
}

// Newest is the number of the last migration that this version knows.
func Newest() int64 { return sqltext.Newest(migrations) }

// Close ends all connections.
func (d *DB) Close() error {
	err := d.shared.Close()
	d.pool.Close()
	return err
}

func (d *DB) useReports() {
	d.shared = stdlib.OpenDBFromPool(d.pool)
	d.reports = &reports{Reader: d.shared, Write: d.writeReports, Schema: schema + ".", Verdicts: func(store.Day) string { return schema + ".verdict" },
		Missing: missingDay, IP: "host(ip)", ParseIP: func(b []byte) netip.Addr {
			a, _ := netip.ParseAddr(string(b))
			return a
		}}
}

func (d *DB) writeReports(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.shared.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback() //nolint:errcheck // the cause is err
		return err
	}
	return tx.Commit()
}

// Info describes the database. Rows is the planner's estimate where a day was analyzed.
func (d *DB) Info(ctx context.Context) (i store.Info, err error) {
	var version string
	err = d.pool.QueryRow(ctx, `SELECT current_setting('server_version'), (SELECT value FROM postseal.meta WHERE key = 'store'),
		(SELECT coalesce(max(version_id), 0) FROM postseal.goose_db_version), (extract(epoch FROM clock_timestamp()) * 1000)::bigint`).Scan(&version, &i.Store, &i.Schema, &i.Clock)
	if err != nil {
		return i, err
	}
	version, _, _ = strings.Cut(version, " ")
	i.Engine = "postgres " + version
	days, err := d.Days(ctx)
	if err != nil {
		return i, err
	}
	for _, day := range days {
		var n int64
		if err := d.pool.QueryRow(ctx, "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)", table(day)).Scan(&n); err != nil {
			return i, err
		}
		if n < 0 || n < 100000 { // never analyzed, or soon counted
			if err := d.pool.QueryRow(ctx, "SELECT count(*) FROM "+table(day)).Scan(&n); err != nil {
				return i, err
			}
		}
		i.Rows += n
	}
	i.Bytes, err = d.Size(ctx)
	return i, err
}

// Size implements store.Reader.
func (d *DB) Size(ctx context.Context) (n int64, err error) {
	err = d.pool.QueryRow(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
		WHERE s.nspname = $1 AND c.relkind = 'r'`, schema).Scan(&n)
	return n, err
}
