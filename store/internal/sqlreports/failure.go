package sqlreports

import (
	"context"
	"database/sql"
	"errors"

	"postseal/store"
)

// errLimit undoes the counting of a failure report that must not be sent.
var errLimit = errors.New("limit")

// QueueFailure implements store.Outbox. The row that counts the day is locked first, so that several
// processes take turns.
func (d *DB) QueueFailure(ctx context.Context, limit store.FailureLimit, to []store.FailureReport) (bool, error) {
	day := int64(store.DayOf(limit.At))
	err := d.Write(ctx, func(tx *sql.Tx) error {
		if err := d.takeFailure(ctx, tx, day, limit); err != nil {
			return err
		}
		var waiting int
		if err := tx.QueryRowContext(ctx, d.sql("SELECT count(*) FROM {delivery} WHERE state IN ('due', 'sending') AND uri LIKE 'failure:%'")).Scan(&waiting); err != nil {
			return err
		}
		if waiting+len(to) > limit.Waiting {
			return store.ErrFull
		}
		for i := range to {
			x := &to[i]
			if _, err := d.in(ctx, tx, "INSERT INTO {delivery} (day, domain, uri, address, state, next_at, token) VALUES ($1, $2, $3, $4, 'due', $5, $6)",
				day, x.Domain, x.URI, x.Address, x.NextAt, x.Token); err != nil {
				return err
			}
			if _, err := d.in(ctx, tx, "INSERT INTO {failure_report} (token, day, domain, uri, made_at, ref, type, incidents, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
				x.Token, day, x.Domain, x.Asked, x.MadeAt, x.Ref, x.Type, x.Incidents, x.Body); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errLimit) {
		return false, nil
	}
	return err == nil, err
}

// takeFailure counts a failure report. The error is errLimit if it must not be sent.
func (d *DB) takeFailure(ctx context.Context, tx *sql.Tx, day int64, limit store.FailureLimit) error {
	n, err := d.in(ctx, tx, `INSERT INTO {failure_sent} AS f (day, domain, what, n, last_at) VALUES ($1, $2, '', 1, $3)
		ON CONFLICT (day, domain, what) DO UPDATE SET n = f.n + 1, last_at = excluded.last_at WHERE f.n < $4`, day, limit.Domain, limit.At, int64(limit.Most))
	if err != nil {
		return err
	}
	var recent int64
	if err := tx.QueryRowContext(ctx, d.sql("SELECT count(*) FROM {failure_sent} WHERE domain = $1 AND what = $2 AND day >= $3 AND last_at > $4"),
		limit.Domain, limit.Kind, day-1, limit.At-limit.Every.Milliseconds()).Scan(&recent); err != nil {
		return err
	}
	if n == 0 || recent > 0 {
		return errLimit
	}
	if _, err := d.in(ctx, tx, "DELETE FROM {failure_sent} WHERE domain = $1 AND day < $2", limit.Domain, day-1); err != nil {
		return err
	}
	_, err = d.in(ctx, tx, `INSERT INTO {failure_sent} AS f (day, domain, what, n, last_at) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (day, domain, what) DO UPDATE SET n = f.n + 1, last_at = excluded.last_at`, day, limit.Domain, limit.Kind, limit.At)
	return err
}

func (d *DB) failures(ctx context.Context, where string, args ...any) (all []store.FailureReport, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var x store.FailureReport
		err := rows.Scan(&x.Day, &x.Domain, &x.URI, &x.Address, &x.State, &x.Attempts, &x.FirstAt, &x.NextAt, &x.Token, &x.Reply, &x.SentAt, &x.Asked, &x.MadeAt, &x.Ref, &x.Type, &x.Incidents, &x.Body)
		all = append(all, x)
		return err
	}, `SELECT x.day, x.domain, x.uri, x.address, x.state, x.attempts, x.first_at, x.next_at, x.token, x.reply, x.sent_at, f.uri, f.made_at, f.ref, f.type, f.incidents, f.body
		FROM {delivery} x JOIN {failure_report} f ON f.token = x.token WHERE `+where, args...)
	return all, err
}

// DueFailures implements store.Outbox.
func (d *DB) DueFailures(ctx context.Context, now int64, limit int) ([]store.FailureReport, error) {
	return d.failures(ctx, "x.state IN ('due', 'sending') AND x.next_at <= $1 AND (x.state = 'due' OR x.lease_until <= $1) ORDER BY x.next_at, x.token LIMIT $2", now, int64(limit))
}

// Failures implements store.Outbox.
func (d *DB) Failures(ctx context.Context, f store.ReportFilter) ([]store.FailureReport, error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	return d.failures(ctx, "($1 = 0 OR f.day = $1) AND ($2 = '' OR f.domain = $2) AND f.day >= $3 AND "+failureBecame(f.State)+" ORDER BY f.made_at DESC, f.token LIMIT $4",
		int64(f.Day), f.Domain, int64(f.Since), int64(f.Limit))
}
