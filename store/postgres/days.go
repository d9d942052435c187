package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"postseal/store"
)

// A day is in day_info from its first row on. Until then, its partition was made ahead of need, and Days leaves it out.

const tablePrefix = "verdict_"

func table(d store.Day) string { return schema + "." + tablePrefix + d.Suffix() }

// Days implements store.Reader.
func (d *DB) Days(ctx context.Context) ([]store.Day, error) {
	return d.partitions(ctx, "d.day IS NOT NULL")
}

// partitions lists those that a condition holds for, the newest first.
func (d *DB) partitions(ctx context.Context, cond string) ([]store.Day, error) {
	rows, err := d.pool.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		LEFT JOIN postseal.day_info d ON c.relname = $2 || to_char(date '1970-01-01' + d.day, 'YYYYMMDD')
		WHERE i.inhparent = to_regclass($1) AND `+cond+` ORDER BY c.relname DESC`, schema+".verdict", tablePrefix)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	days := make([]store.Day, 0, len(names))
	for _, name := range names {
		if day, err := store.ParseSuffix(strings.TrimPrefix(name, tablePrefix)); err == nil {
			days = append(days, day)
		}
	}
	return days, err
}

func (d *DB) forgetDays() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.days)
}

// beginDays begins the days that rows need, in its own transaction. Their partitions are there, unless no sweep made them
// ahead.
func (d *DB) beginDays(ctx context.Context, rows []store.Row) error {
	for i := range rows {
		day := store.DayOf(rows[i].Millis)
		d.mu.Lock()
		known := d.days[day]
		d.mu.Unlock()
		if known {
			continue
		}
		err := d.makeDay(ctx, day, fmt.Sprintf("INSERT INTO postseal.report_day (day) VALUES (%d) ON CONFLICT DO NOTHING", day), fmt.Sprintf("INSERT INTO postseal.day_info (day) VALUES (%d) ON CONFLICT DO NOTHING", day))
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.days[day] = true
		d.mu.Unlock()
	}
	return nil
}

// makeDay makes a table and attaches it, unless it is there, and runs more statements. CREATE TABLE … PARTITION OF would wait
// until a pg_dump of hours ends, and all searches would wait for it.
func (d *DB) makeDay(ctx context.Context, day store.Day, more ...string) error {
	return d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", dayLock); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table(day)).Scan(&there); err != nil {
			return err
		}
		if !there {
			more = append(more, "CREATE TABLE "+table(day)+" (LIKE postseal.verdict INCLUDING ALL)",
				fmt.Sprintf("ALTER TABLE postseal.verdict ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", table(day), store.FirstID(day.Start()), store.FirstID(day.End())))
		}
		for _, s := range more {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// spareFor is for how many days a partition that got no row stays: a host that was away for that long sends rows of then.
const spareFor = 3

// MakeAhead implements store.Store.
func (d *DB) MakeAhead(ctx context.Context, today store.Day, more int) error {
	there, err := d.partitions(ctx, "true")
	if err != nil {
		return err
	}
	made := map[store.Day]bool{}
	for _, day := range there {
		made[day] = true
	}
	for day := today; day <= today+store.Day(more); day++ {
		if made[day] {
			continue
		}
		if err := d.makeDay(ctx, day); err != nil {
			return err
		}
	}
	spare, err := d.partitions(ctx, "d.day IS NULL")
	if err != nil {
		return err
	}
	for _, day := range spare {
		if day >= today-spareFor {
			continue
		}
		if err := d.dropSpare(ctx, day); err != nil {
			return err
		}
	}
	return nil
}

// dropSpare removes the partition of a day that got no row.
func (d *DB) dropSpare(ctx context.Context, day store.Day) error {
	return d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", dayLock); err != nil {
			return err
		}
		var begun bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM postseal.day_info WHERE day = $1)", int(day)).Scan(&begun); err != nil || begun {
			return err
		}
		return dropTable(ctx, tx, day)
	})
}

// Tends implements store.Store.
func (d *DB) Tends(ctx context.Context) (owns bool, err error) {
	err = d.pool.QueryRow(ctx, `SELECT pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(c.relnamespace, 'CREATE') AND NOT current_setting('transaction_read_only')::boolean
		FROM pg_class c WHERE c.oid = to_regclass($1)`, schema+".verdict").Scan(&owns)
	return owns, err
}
