// Package sqlreports keeps reports in a database, in SQL that SQLite and PostgreSQL share.
package sqlreports

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"

	"postseal/store"
)

// DB implements store.Outbox and store.Inbox for an engine.
type DB struct {
	// Reader is where reading statements run.
	Reader *sql.DB
	// Write runs a function in a transaction.
	Write func(ctx context.Context, f func(*sql.Tx) error) error
	// Schema stands before each table: "" or "postseal.".
	Schema string
	// Verdicts names the table with the rows of a day.
	Verdicts func(store.Day) string
	// Missing reports whether an error says that a table does not exist.
	Missing func(error) bool
	// IP is the expression for the address of a row, and ParseIP reads what it yields.
	IP      string
	ParseIP func([]byte) netip.Addr
}

// sql puts the schema in front of tables, which statements write as {name}.
func (d *DB) sql(text string) string {
	return strings.NewReplacer("{", d.Schema, "}", "").Replace(text)
}

func (d *DB) query(ctx context.Context, f func(*sql.Rows) error, text string, args ...any) error {
	rows, err := d.Reader.QueryContext(ctx, d.sql(text), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// exec runs statements in one transaction.
func (d *DB) exec(ctx context.Context, text string, args ...any) (changed int64, err error) {
	err = d.Write(ctx, func(tx *sql.Tx) error {
		changed, err = d.in(ctx, tx, text, args...)
		return err
	})
	return changed, err
}

func (d *DB) in(ctx context.Context, tx *sql.Tx, text string, args ...any) (int64, error) {
	r, err := tx.ExecContext(ctx, d.sql(text), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// ReportDays implements store.Outbox.
func (d *DB) ReportDays(ctx context.Context, since store.Day) (days []store.ReportDay, err error) {
	if days, err = d.days(ctx, "day >= $1 ORDER BY day DESC", int64(since)); err != nil {
		return nil, err
	}
	for i := range days {
		if x := &days[i]; x.State != store.DayOpen {
			if x.Late, err = d.late(ctx, x.Day); err != nil {
				return nil, err
			}
		}
	}
	return days, nil
}

// PendingDays implements store.Outbox.
func (d *DB) PendingDays(ctx context.Context, since, before store.Day) ([]store.ReportDay, error) {
	return d.days(ctx, "day >= $1 AND day < $2 AND state <> 'built' ORDER BY day", int64(since), int64(before))
}

func (d *DB) days(ctx context.Context, where string, args ...any) (days []store.ReportDay, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var x store.ReportDay
		err := rows.Scan(&x.Day, &x.State, &x.ClosedAt, &x.WaitedFor, &x.Verdicts)
		days = append(days, x)
		return err
	}, "SELECT day, state, closed_at, waited_for, verdicts FROM {report_day} WHERE "+where, args...)
	return days, err
}

// late counts the rows that came after a day was closed.
func (d *DB) late(ctx context.Context, day store.Day) (n int64, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&n) }, "SELECT count(*) FROM "+d.Verdicts(day)+rowsOf(day)+" AND late = "+d.yes())
	return n, d.gone(err)
}

// yes is the value of a true column: verdicts hold a boolean in PostgreSQL.
func (d *DB) yes() string {
	if d.Schema == "" {
		return "1"
	}
	return "true"
}

func (d *DB) no() string {
	if d.Schema == "" {
		return "0"
	}
	return "false"
}

// rowsOf is a condition for the rows of a day, in constants, so that PostgreSQL prunes.
func rowsOf(day store.Day) string {
	return fmt.Sprintf(" WHERE id >= %d AND id < %d", store.FirstID(day.Start()), store.FirstID(day.End()))
}

func (d *DB) gone(err error) error {
	if err != nil && d.Missing(err) {
		return nil
	}
	return err
}

// CloseDay implements store.Outbox. Batches hold the row of the day while they add to it, so
// the update waits for those that have begun.
func (d *DB) CloseDay(ctx context.Context, day store.Day, at int64, waitedFor string) (bool, error) {
	n, err := d.exec(ctx, "UPDATE {report_day} SET state = 'closed', closed_at = $2, waited_for = $3 WHERE day = $1 AND state = 'open'", int64(day), at, waitedFor)
	return n == 1, err
}

// counted are the rows that reports count: those of a policy with rua. A message that was
// deferred comes again, so it counts then.
func (d *DB) counted(day store.Day) string {
	return rowsOf(day) + " AND cause <> 0 AND applied <> 'defer' AND policy_domain <> '' AND late = " + d.no()
}

// Reported implements store.Outbox.
func (d *DB) Reported(ctx context.Context, day store.Day) (all []store.Reported, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var x store.Reported
		var hash []byte
		err := rows.Scan(&x.Domain, &hash, &x.Last, &x.Messages, &x.Wanted, &x.Rejected, &x.OK)
		copy(x.Policy[:], hash)
		all = append(all, x)
		return err
	}, `SELECT policy_domain, policy_hash, max(id), count(*), sum(CASE WHEN cause = 1 AND applied <> 'reject' THEN 1 ELSE 0 END),
		sum(CASE WHEN cause = 1 AND applied = 'reject' THEN 1 ELSE 0 END), sum(CASE WHEN dmarc = 'pass' AND applied = 'accept' THEN 1 ELSE 0 END)
		FROM `+d.Verdicts(day)+d.counted(day)+" GROUP BY policy_domain, policy_hash ORDER BY policy_domain")
	return all, d.gone(err)
}

// ReportRows implements store.Outbox.
func (d *DB) ReportRows(ctx context.Context, day store.Day, domain string, f func(*store.ReportRow) error) error {
	const columns = "policy_domain, author, mfrom, applied, enforce, dmarc, aligned, p, override, why, dkim, spf_domain, spf, reason"
	where, args := d.counted(day), []any{}
	if domain != "" {
		where, args = where+" AND policy_domain = $1", append(args, domain)
	}
	var r store.ReportRow
	var ip []byte
	err := d.query(ctx, func(rows *sql.Rows) error {
		if err := rows.Scan(&r.PolicyDom, &r.Author, &r.MFrom, &r.Applied, &r.Enforce, &r.DMARC, &r.Aligned, &r.P, &r.Override, &r.Why, &r.DKIM, &r.SPFDomain, &r.SPF, &r.Reason, &ip, &r.N); err != nil {
			return err
		}
		r.IP = d.ParseIP(ip)
		return f(&r)
	}, "SELECT "+columns+", "+d.IP+", count(*) AS n FROM "+d.Verdicts(day)+where+" GROUP BY "+columns+", ip ORDER BY policy_domain, n DESC", args...)
	return d.gone(err)
}

// PolicyByHash implements store.Outbox.
func (d *DB) PolicyByHash(ctx context.Context, h store.Hash) (p store.Policy, ok bool, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		ok, p.Hash = true, h
		return rows.Scan(&p.Domain, &p.Text, &p.Discovery, &p.First, &p.Last)
	}, "SELECT domain, record, discovery, first_seen, last_seen FROM {policy} WHERE hash = $1", h[:])
	return p, ok, err
}

// SeenOK implements store.Outbox.
func (d *DB) SeenOK(ctx context.Context, domain string) (at int64, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&at) }, "SELECT last_ok FROM {domain_seen} WHERE domain = $1", domain)
	return at, err
}

// SawOK implements store.Outbox.
func (d *DB) SawOK(ctx context.Context, domains []string, at int64) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		for _, name := range domains {
			if _, err := d.in(ctx, tx, `INSERT INTO {domain_seen} AS t (domain, first_ok, last_ok) VALUES ($1, $2, $2)
				ON CONFLICT (domain) DO UPDATE SET last_ok = CASE WHEN t.last_ok < excluded.last_ok THEN excluded.last_ok ELSE t.last_ok END`, name, at); err != nil {
				return err
			}
		}
		return nil
	})
}
