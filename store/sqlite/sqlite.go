// Package sqlite is the history of one host, in one file. A table per UTC day keeps the indexes
// small and makes dropping a day cheap; one connection writes, others read at the same time
// (write-ahead log).
package sqlite

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
	"path/filepath"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"postseal/store"
	"postseal/store/internal/sqlreports"
	"postseal/store/internal/sqltext"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Major is the version of the schema: a database of another one is not opened.
const Major = "1"

// pageSize is that of new files.
const pageSize = 4096

// Options bound a database. The zero value has no bound.
type Options struct {
	MaxBytes int64 // of the file; when it is reached, the oldest days go
	ReadOnly bool  // for a command that runs at the same time as the daemon: nothing is created or migrated
}

// DB is a database. It implements store.Store.
type DB struct {
	*reports
	path   string
	o      Options
	writer *sql.DB // one connection
	reader *sql.DB

	mu       sync.Mutex // of writing
	conn     *sql.Conn  // of writer, with its prepared statements
	inserts  map[store.Day]*sql.Stmt
	sequence int
	fullFrom int64 // milliseconds that have no id left, as under a clock that stands still
	fullTo   int64
}

var _ store.Store = (*DB)(nil)

// reports is the part of the database that both engines share.
type reports = sqlreports.DB

var dialect = sqltext.Dialect{Placeholder: func(n int) string { return fmt.Sprintf("?%d", n) }, IP: func(a netip.Addr) any { return a.AsSlice() }, IPLength: "length(ip) = %d", Action: "+action", ID: "+id"}

// Open opens the file, makes it if it does not exist, and migrates it. A file in a newer
// schema of the same major version is used as it is.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	path, err := filepath.Abs(path) // a URI has no relative paths
	if err != nil {
		return nil, err
	}
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	} else if err := create(path); err != nil {
		return nil, err
	}
	d := &DB{path: path, o: o, inserts: map[store.Day]*sql.Stmt{}}
	if d.reader, err = sql.Open("sqlite", address(path, true)); err != nil {
		return nil, err
	}
	d.reader.SetMaxOpenConns(4)
	d.reports = &reports{Reader: d.reader, Write: d.write, Verdicts: table, Missing: missing, IP: "ip", ParseIP: func(b []byte) netip.Addr {
		a, _ := netip.AddrFromSlice(b)
		return a
	}}
	if o.ReadOnly {
		return d, d.checkSchema(ctx)
	}
	if d.writer, err = sql.Open("sqlite", address(path, false)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.writer.SetMaxOpenConns(1)
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.Close())
	}
	return d, nil
}

// create makes the file with a mode that keeps others out.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

func address(path string, read bool) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout(10000)")
	q.Add("_pragma", "case_sensitive_like(1)")
	if read {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", fmt.Sprintf("page_size(%d)", pageSize))
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(NORMAL)")
		// What is deleted within a page is overwritten; pages of a day that was dropped are, when
		// the next rows use them: overwriting them at once is what dropping a day would cost.
		q.Add("_pragma", "secure_delete(FAST)")
		q.Set("_txlock", "immediate")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// prepare migrates and takes the one connection that writes.
func (d *DB) prepare(ctx context.Context) error {
	if err := d.migrate(ctx); err != nil {
		return err
	}
	if err := d.addColumns(ctx); err != nil {
		return err
	}
	conn, err := d.writer.Conn(ctx)
	if err != nil {
		return err
	}
	d.conn = conn
	return d.bound(ctx)
}

// addColumns adds what the tables of days lack that an older version made. It is not a migration,
// because that version may have come back in between and made tables again.
func (d *DB) addColumns(ctx context.Context) error {
	days, err := d.Days(ctx)
	for _, day := range days {
		var has int
		if err := d.writer.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info(?) WHERE name = 'mid'", table(day)).Scan(&has); err != nil {
			return err
		}
		if has > 0 {
			continue
		}
		if _, err := d.writer.ExecContext(ctx, "ALTER TABLE "+table(day)+" ADD COLUMN mid BLOB"); err != nil {
			return err
		}
	}
	return err
}

// bound tells SQLite where the file ends.
func (d *DB) bound(ctx context.Context) error {
	if d.o.MaxBytes <= 0 {
		return nil
	}
	_, err := d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", max(d.o.MaxBytes/pageSize, 64)))
	return err
}

func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableVersioning(false))
}

// migrate brings the schema forward. Migrations are additive within a major version, so a
// newer schema of the same one is left as it is.
func (d *DB) migrate(ctx context.Context) error {
	if err := d.checkMajor(ctx, d.writer); err != nil {
		return err
	}
	p, err := provider(d.writer)
	if err != nil {
		return err
	}
	if version, err := p.GetDBVersion(ctx); err == nil && version >= Newest() {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// Newest is the number of the last migration that this version knows.
func Newest() int64 { return sqltext.Newest(migrations) }

func (d *DB) checkSchema(ctx context.Context) error {
	if err := d.checkMajor(ctx, d.reader); err != nil {
		return errors.Join(err, d.Close())
	}
	return nil
}

// checkMajor refuses a database of another major version. A new file has none yet.
func (d *DB) checkMajor(ctx context.Context, db *sql.DB) error {
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return nil
	}
	var major string
	if err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'major'").Scan(&major); err != nil {
		return err
	}
	if major != Major {
		return fmt.Errorf("%w: it has version %s, this postseal knows %s", store.ErrSchema, major, Major)
	}
	return nil
}

// Close ends all connections.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, s := range d.inserts {
		errs = append(errs, s.Close())
	}
	clear(d.inserts)
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
		d.conn = nil
	}
	for _, db := range []*sql.DB{d.reader, d.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Info describes the database.
func (d *DB) Info(ctx context.Context) (store.Info, error) {
	var version string
	i := store.Info{}
	if err := d.reader.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return i, err
	}
	i.Engine = "sqlite " + version
	if err := d.reader.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'store'").Scan(&i.Store); err != nil {
		return i, err
	}
	if err := d.reader.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version").Scan(&i.Schema); err != nil {
		return i, err
	}
	days, err := d.Days(ctx)
	if err != nil {
		return i, err
	}
	for _, day := range days {
		var n int64
		if err := d.reader.QueryRowContext(ctx, "SELECT count(*) FROM "+table(day)).Scan(&n); err != nil && !missing(err) {
			return i, err
		}
		i.Rows += n
	}
	i.Bytes, err = d.Size(ctx)
	return i, err
}

// Size implements store.Reader.
func (d *DB) Size(ctx context.Context) (n int64, err error) {
	err = d.reader.QueryRowContext(ctx, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&n)
	return n, err
}

const tablePrefix = "verdict_"

func table(d store.Day) string { return tablePrefix + d.Suffix() }

// Days implements store.Reader.
func (d *DB) Days(ctx context.Context) ([]store.Day, error) {
	rows, err := d.reader.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'verdict_[0-9]*' ORDER BY name DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	days := []store.Day{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if day, err := store.ParseSuffix(strings.TrimPrefix(name, tablePrefix)); err == nil {
			days = append(days, day)
		}
	}
	return days, rows.Err()
}

// codeOf is the primary result code of SQLite, 0 for other errors.
func codeOf(err error) int {
	var e *sqlitedriver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// missing reports whether a table is not there: its day was dropped meanwhile.
func missing(err error) bool {
	return codeOf(err) == sqlitelib.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

// older reports whether the table of a day lacks the column mid: an older daemon made it, and this
// process only reads.
func older(err error) bool {
	return codeOf(err) == sqlitelib.SQLITE_ERROR && strings.Contains(err.Error(), "no such column: mid")
}
