package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postseal/store"
	"postseal/store/internal/sqltext"
)

// dropTime bounds how long the removal of a day waits for those who read the history, since all others wait for it meanwhile.
const dropTime = "1s"

const lockNotAvailable = "55P03" // SQLSTATE

// Drop implements store.Store. While a backup or a long query reads the history, it fails.
func (d *DB) Drop(ctx context.Context, day store.Day) error {
	err := d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", dayLock); err != nil {
			return err
		}
		if err := dropTable(ctx, tx, day); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM postseal.day_info WHERE day = $1", int(day))
		return err
	})
	d.forgetDays()
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) && e.Code == lockNotAvailable {
		return fmt.Errorf("%s is being read, as by a backup, and cannot be removed now: %w", day, err)
	}
	return err
}

func dropTable(ctx context.Context, tx pgx.Tx, day store.Day) error {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+dropTime+"'"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+table(day))
	return err
}

// Forget implements store.Store. The tables that held such rows are rewritten; backups and
// write-ahead logs are the operator's.
func (d *DB) Forget(ctx context.Context, f store.Forgotten) (removed int64, err error) {
	days, err := d.Days(ctx)
	if err != nil {
		return 0, err
	}
	if err := d.ForgetReports(ctx, f); err != nil {
		return 0, err
	}
	touched := map[string]bool{}
	err = d.begin(ctx, func(tx pgx.Tx) error {
		for _, day := range days {
			w := sqltext.New(dialect)
			w.Forget(f)
			n, err := remove(ctx, tx, touched, table(day), w.String(), w.Args...)
			if err != nil {
				return err
			}
			removed += n
		}
		if f.Domain == "" {
			return nil
		}
		for t, cond := range map[string]string{"policy": below, "selector": below, "record": "(name = $1::text OR name LIKE '%.' || $1::text)"} {
			if _, err := remove(ctx, tx, touched, schema+"."+t, " WHERE "+cond, f.Domain); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for t := range touched { // VACUUM alone leaves the octets in the pages until these are used again
		if _, err := d.pool.Exec(ctx, "VACUUM (FULL) "+t); err != nil && !missingDay(err) {
			return removed, err
		}
	}
	return removed, nil
}

// remove deletes rows, and notes the table in touched where there were any. A day that was
// dropped meanwhile has none.
func remove(ctx context.Context, tx pgx.Tx, touched map[string]bool, t, where string, args ...any) (int64, error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", t).Scan(&there); err != nil || !there {
		return 0, err
	}
	tag, err := tx.Exec(ctx, "DELETE FROM "+t+where, args...)
	if err != nil {
		return 0, err
	}
	if tag.RowsAffected() > 0 {
		touched[t] = true
	}
	return tag.RowsAffected(), nil
}

// Mask implements store.Store.
func (d *DB) Mask(ctx context.Context, day store.Day, keep string) error {
	set := map[string]string{"net": "host(network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 48 END)))::inet", "none": "NULL"}[keep]
	if set == "" {
		return nil
	}
	return d.begin(ctx, func(tx pgx.Tx) error {
		var masked string
		err := tx.QueryRow(ctx, "SELECT masked FROM postseal.day_info WHERE day = $1 FOR UPDATE", int(day)).Scan(&masked)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && (masked == keep || masked == "none") {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %s SET ip = %s WHERE ip IS NOT NULL", table(day), set)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE postseal.day_info SET masked = $1 WHERE day = $2", keep, int(day))
		return err
	})
}

// Trim implements store.Store.
func (d *DB) Trim(ctx context.Context, before int64, most int) error {
	return d.begin(ctx, func(tx pgx.Tx) error {
		for _, t := range []string{"policy", "selector", "record"} {
			if _, err := tx.Exec(ctx, "DELETE FROM postseal."+t+" WHERE last_seen < $1", before); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM postseal."+t+" WHERE last_seen < (SELECT last_seen FROM postseal."+t+" ORDER BY last_seen DESC LIMIT 1 OFFSET $1)", most); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "DELETE FROM postseal.loss WHERE last < $1", before)
		return err
	})
}

// SweptAt implements store.Reader.
func (d *DB) SweptAt(ctx context.Context) (at int64, err error) {
	err = d.pool.QueryRow(ctx, "SELECT value::bigint FROM postseal.meta WHERE key = 'swept'").Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return at, err
}

// SetSweptAt implements store.Store.
func (d *DB) SetSweptAt(ctx context.Context, at int64) error {
	_, err := d.pool.Exec(ctx, "INSERT INTO postseal.meta (key, value) VALUES ('swept', $1::bigint::text) ON CONFLICT (key) DO UPDATE SET value = excluded.value", at)
	return err
}

// Backup implements store.Store: pg_dump does it.
func (d *DB) Backup(context.Context, string) error { return errors.ErrUnsupported }

// Check implements store.Reader: every day is read once.
func (d *DB) Check(ctx context.Context) (problems []string, err error) {
	days, err := d.Days(ctx)
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		var outside int
		if err := d.pool.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FILTER (WHERE id < %d OR id >= %d OR length(v::text) = 0) FROM %s v", store.FirstID(day.Start()), store.FirstID(day.End()), table(day))).Scan(&outside); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", day, err))
		} else if outside > 0 {
			problems = append(problems, fmt.Sprintf("%s: %d rows belong to another day", day, outside))
		}
	}
	return problems, nil
}
