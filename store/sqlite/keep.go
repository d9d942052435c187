package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"postseal/store"
	"postseal/store/internal/sqltext"
)

// Drop implements store.Store.
func (d *DB) Drop(ctx context.Context, day store.Day) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drop(ctx, day)
}

func (d *DB) drop(ctx context.Context, day store.Day) error {
	if s := d.inserts[day]; s != nil {
		s.Close()
		delete(d.inserts, day)
	}
	return d.locked(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s; DELETE FROM day_info WHERE day = %d", table(day), int(day)))
		return err
	})
}

// atBound reports whether the file may not grow by the pages of a batch. If it may, it is the disk
// that is full: dropping days would not give that room.
func (d *DB) atBound(ctx context.Context) bool {
	const batchPages = 4096 // 16 MiB, more than a batch of the longest rows
	var most, used, free int64
	for pragma, n := range map[string]*int64{"max_page_count": &most, "page_count": &used, "freelist_count": &free} {
		if d.conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(n) != nil {
			return false
		}
	}
	return most-used+free <= batchPages
}

// MakeAhead implements store.Store: a table is made with the first row of its day, in the same transaction.
func (d *DB) MakeAhead(context.Context, store.Day, int) error { return nil }

// Tends implements store.Store: who writes to the file may do all.
func (d *DB) Tends(context.Context) (bool, error) { return true, nil }

// dropOldest makes room in a file that is full. The newest day stays.
func (d *DB) dropOldest(ctx context.Context) bool {
	days, err := d.Days(ctx)
	return err == nil && len(days) > 1 && d.drop(ctx, days[len(days)-1]) == nil
}

// Forget implements store.Store. The file is rewritten without the rows (VACUUM), and the
// write-ahead log is emptied.
func (d *DB) Forget(ctx context.Context, f store.Forgotten) (removed int64, err error) {
	days, err := d.Days(ctx)
	if err != nil {
		return 0, err
	}
	if err := d.ForgetReports(ctx, f); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err = d.locked(ctx, func(tx *sql.Tx) error {
		removed = 0
		for _, day := range days {
			w := sqltext.New(dialect)
			w.Forget(f)
			r, err := tx.ExecContext(ctx, "DELETE FROM "+table(day)+w.String(), w.Args...)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			removed += n
		}
		if f.Domain == "" {
			return nil
		}
		for _, t := range []string{"policy WHERE" + below, "selector WHERE" + below, "record WHERE (name = ?1 OR name LIKE '%.' || ?1)"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+t, f.Domain); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if _, err = d.conn.ExecContext(ctx, "VACUUM"); err == nil {
		_, err = d.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return removed, err
}

// Mask implements store.Store.
func (d *DB) Mask(ctx context.Context, day store.Day, keep string) error {
	var set string
	switch keep {
	case "net":
		set = "substr(ip, 1, CASE length(ip) WHEN 4 THEN 3 ELSE 6 END) || zeroblob(CASE length(ip) WHEN 4 THEN 1 ELSE 10 END)"
	case "none":
		set = "NULL"
	default:
		return nil
	}
	return d.write(ctx, func(tx *sql.Tx) error {
		var masked string
		if err := tx.QueryRowContext(ctx, "SELECT masked FROM day_info WHERE day = ?", int(day)).Scan(&masked); err != nil || masked == keep || masked == "none" {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET ip = CAST(%s AS BLOB) WHERE ip IS NOT NULL; UPDATE day_info SET masked = '%s' WHERE day = %d", table(day), set, keep, int(day)))
		return err
	})
}

// Trim implements store.Store.
func (d *DB) Trim(ctx context.Context, before int64, most int) error {
	return d.write(ctx, func(tx *sql.Tx) error {
		for _, t := range []string{"policy", "selector", "record"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+t+" WHERE last_seen < ?", before); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+t+" WHERE last_seen < (SELECT last_seen FROM "+t+" ORDER BY last_seen DESC LIMIT 1 OFFSET ?)", most); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM loss WHERE last < ?", before)
		return err
	})
}

// SweptAt implements store.Reader.
func (d *DB) SweptAt(ctx context.Context) (at int64, err error) {
	err = d.reader.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'swept'").Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return at, err
}

// SetSweptAt implements store.Store.
func (d *DB) SetSweptAt(ctx context.Context, at int64) error {
	return d.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO meta (key, value) VALUES ('swept', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", strconv.FormatInt(at, 10))
		return err
	})
}

// Backup implements store.Store: a copy that is consistent while the daemon writes.
func (d *DB) Backup(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: d.path, RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

// Check implements store.Reader.
func (d *DB) Check(ctx context.Context) (problems []string, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			problems = append(problems, line)
		}
		return nil
	}, "PRAGMA integrity_check(100)")
	if err != nil {
		return problems, err
	}
	days, err := d.Days(ctx)
	if err != nil {
		return problems, err
	}
	for _, day := range days {
		var outside int
		if err := d.reader.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE id < %d OR id >= %d", table(day), store.FirstID(day.Start()), store.FirstID(day.End()))).Scan(&outside); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", day, err))
		} else if outside > 0 {
			problems = append(problems, fmt.Sprintf("%s: %d rows belong to another day", day, outside))
		}
	}
	return problems, nil
}
