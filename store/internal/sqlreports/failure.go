package sqlreports

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"postseal/store"
)

// errLimit undoes the counting of a failure report that must not be sent.
var errLimit = errors.New("limit")

// TakeFailure implements store.Outbox. The row that counts the day is locked first, so that several
// processes take turns.
func (d *DB) TakeFailure(ctx context.Context, domain, kind string, at int64, most int, every time.Duration) (bool, error) {
	day := int64(store.DayOf(at))
	err := d.Write(ctx, func(tx *sql.Tx) error {
		n, err := d.in(ctx, tx, `INSERT INTO {failure_sent} AS f (day, domain, what, n, last_at) VALUES ($1, $2, '', 1, $3)
			ON CONFLICT (day, domain, what) DO UPDATE SET n = f.n + 1, last_at = excluded.last_at WHERE f.n < $4`, day, domain, at, int64(most))
		if err != nil {
			return err
		}
		var recent int64
		if err := tx.QueryRowContext(ctx, d.sql("SELECT count(*) FROM {failure_sent} WHERE domain = $1 AND what = $2 AND day >= $3 AND last_at > $4"),
			domain, kind, day-1, at-every.Milliseconds()).Scan(&recent); err != nil {
			return err
		}
		if n == 0 || recent > 0 {
			return errLimit
		}
		if _, err := d.in(ctx, tx, "DELETE FROM {failure_sent} WHERE domain = $1 AND day < $2", domain, day-1); err != nil {
			return err
		}
		_, err = d.in(ctx, tx, `INSERT INTO {failure_sent} AS f (day, domain, what, n, last_at) VALUES ($1, $2, $3, 1, $4)
			ON CONFLICT (day, domain, what) DO UPDATE SET n = f.n + 1, last_at = excluded.last_at`, day, domain, kind, at)
		return err
	})
	if errors.Is(err, errLimit) {
		return false, nil
	}
	return err == nil, err
}

// AddFailure implements store.Outbox. Its URI sets the mail apart from those with aggregate reports.
func (d *DB) AddFailure(ctx context.Context, x store.Delivery) error {
	_, err := d.exec(ctx, `INSERT INTO {delivery} (day, domain, uri, address, state, attempts, first_at, next_at, token, sent_at) VALUES ($1, $2, $3, $4, 'sent', 1, $5, 0, $6, $5)`,
		int64(x.Day), x.Domain, "failure:"+x.Token, x.Address, x.SentAt, x.Token)
	return err
}
