package sqlreports

import (
	"context"
	"database/sql"

	"postseal/store"
)

// listLimit bounds a list where the caller does not.
const listLimit = 1000

// AddReports implements store.Outbox.
func (d *DB) AddReports(ctx context.Context, reports []store.Outgoing) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		for i := range reports {
			r := &reports[i]
			if _, err := d.in(ctx, tx, `INSERT INTO {report} (day, domain, report_id, file, policy_hash, state, why, records, messages, left_out, body, built_at, next_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
				int64(r.Day), r.Domain, r.ID, r.File, r.Policy[:], r.State, r.Why, r.Records, r.Messages, r.LeftOut, r.Body, r.BuiltAt, r.NextAt); err != nil {
				return err
			}
		}
		return nil
	})
}

// DayBuilt implements store.Outbox.
func (d *DB) DayBuilt(ctx context.Context, day store.Day, verdicts int64) error {
	_, err := d.exec(ctx, "UPDATE {report_day} SET state = 'built', verdicts = $2 WHERE day = $1 AND state = 'closed'", int64(day), verdicts)
	return err
}

const reportColumns = "day, domain, report_id, file, policy_hash, state, why, records, messages, left_out, built_at, next_at, coalesce(length(body), 0)"

func scanReport(rows *sql.Rows, more ...any) (r store.Outgoing, err error) {
	var hash []byte
	err = rows.Scan(append([]any{&r.Day, &r.Domain, &r.ID, &r.File, &hash, &r.State, &r.Why, &r.Records, &r.Messages, &r.LeftOut, &r.BuiltAt, &r.NextAt, &r.Size}, more...)...)
	copy(r.Policy[:], hash)
	return r, err
}

const selectReports = "SELECT " + reportColumns + " FROM {report} WHERE "

func (d *DB) reports(ctx context.Context, where string, args ...any) ([]store.Outgoing, error) {
	return d.reportsOf(ctx, selectReports+where, args...)
}

func (d *DB) reportsOf(ctx context.Context, text string, args ...any) (all []store.Outgoing, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		r, err := scanReport(rows)
		all = append(all, r)
		return err
	}, text, args...)
	return all, err
}

// Outgoing implements store.Outbox.
func (d *DB) Outgoing(ctx context.Context, f store.ReportFilter) ([]store.Outgoing, error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	text, args := outgoing(&f)
	return d.reportsOf(ctx, text, args...)
}

// outgoing is the statement for a filter.
func outgoing(f *store.ReportFilter) (text string, args []any) {
	return selectReports + "($1 = 0 OR day = $1) AND ($2 = '' OR domain = $2) AND day >= $3 AND ($4 = 0 OR day < $4 OR day = $4 AND domain > $5) AND " + became(f.State) + " ORDER BY day DESC, domain LIMIT $6",
		[]any{int64(f.Day), f.Domain, int64(f.Since), int64(f.AfterDay), f.AfterDomain, int64(f.Limit)}
}

// OutgoingReport implements store.Outbox.
func (d *DB) OutgoingReport(ctx context.Context, day store.Day, domain string) (r store.Outgoing, ok bool, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var body []byte
		r, err = scanReport(rows, &body)
		r.Body, ok = body, true
		return err
	}, "SELECT "+reportColumns+", body FROM {report} WHERE day = $1 AND domain = $2", int64(day), domain)
	return r, ok, err
}

// BuiltReports implements store.Outbox.
func (d *DB) BuiltReports(ctx context.Context, now int64, limit int) ([]store.Outgoing, error) {
	return d.reports(ctx, "state = 'built' AND next_at <= $1 ORDER BY next_at LIMIT $2", now, int64(limit))
}

// Postpone implements store.Outbox.
func (d *DB) Postpone(ctx context.Context, day store.Day, domain string, next int64) error {
	_, err := d.exec(ctx, "UPDATE {report} SET next_at = $3 WHERE day = $1 AND domain = $2 AND state = 'built'", int64(day), domain, next)
	return err
}

// SealReport implements store.Outbox.
func (d *DB) SealReport(ctx context.Context, day store.Day, domain, why string, to []store.Delivery) error {
	state := store.ReportDone
	for i := range to {
		if to[i].State == store.DeliveryDue {
			state = store.ReportSealed
		}
	}
	if why != "" {
		state = store.ReportNone
	}
	return d.Write(ctx, func(tx *sql.Tx) error {
		n, err := d.in(ctx, tx, "UPDATE {report} SET state = $3, why = $4 WHERE day = $1 AND domain = $2 AND state = 'built'", int64(day), domain, state, why)
		if err != nil || n == 0 {
			return err
		}
		for _, x := range to {
			if _, err := d.in(ctx, tx, `INSERT INTO {delivery} (day, domain, uri, address, state, next_at, token, reply) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
				int64(day), domain, x.URI, x.Address, x.State, x.NextAt, x.Token, x.Reply); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *DB) deliveries(ctx context.Context, where string, args ...any) (all []store.Delivery, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var x store.Delivery
		err := rows.Scan(&x.Day, &x.Domain, &x.URI, &x.Address, &x.State, &x.Attempts, &x.FirstAt, &x.NextAt, &x.Token, &x.Reply, &x.SentAt)
		all = append(all, x)
		return err
	}, "SELECT day, domain, uri, address, state, attempts, first_at, next_at, token, reply, sent_at FROM {delivery} WHERE "+where, args...)
	return all, err
}

// Deliveries implements store.Outbox.
func (d *DB) Deliveries(ctx context.Context, day store.Day, domain string) ([]store.Delivery, error) {
	return d.deliveries(ctx, "day = $1 AND domain = $2 AND uri NOT LIKE 'failure:%' ORDER BY uri", int64(day), domain)
}

// DueDeliveries implements store.Outbox.
func (d *DB) DueDeliveries(ctx context.Context, now int64, limit int) ([]store.Delivery, error) {
	return d.deliveries(ctx, "state IN ('due', 'sending') AND next_at <= $1 AND (state = 'due' OR lease_until <= $1) AND uri NOT LIKE 'failure:%' ORDER BY next_at, day, domain LIMIT $2", now, int64(limit))
}

// Lease implements store.Outbox.
func (d *DB) Lease(ctx context.Context, x store.Delivery, now, until int64) (bool, error) {
	n, err := d.exec(ctx, `UPDATE {delivery} SET state = 'sending', attempts = attempts + 1, lease_until = $5, first_at = CASE WHEN first_at = 0 THEN $4 ELSE first_at END
		WHERE day = $1 AND domain = $2 AND uri = $3 AND next_at <= $4 AND (state = 'due' OR state = 'sending' AND lease_until <= $4)`, int64(x.Day), x.Domain, x.URI, now, until)
	return n == 1, err
}

// EndAttempt implements store.Outbox.
func (d *DB) EndAttempt(ctx context.Context, x store.Delivery) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		if _, err := d.in(ctx, tx, "UPDATE {delivery} SET state = $4, next_at = $5, reply = $6, sent_at = $7, lease_until = 0 WHERE day = $1 AND domain = $2 AND uri = $3",
			int64(x.Day), x.Domain, x.URI, x.State, x.NextAt, x.Reply, x.SentAt); err != nil {
			return err
		}
		if x.State != store.DeliveryDue { // of a failure report: what it says is needed no longer
			if _, err := d.in(ctx, tx, "UPDATE {failure_report} SET body = NULL WHERE token = $1", x.Token); err != nil {
				return err
			}
		}
		_, err := d.in(ctx, tx, `UPDATE {report} SET state = 'done' WHERE day = $1 AND domain = $2 AND state = 'sealed'
			AND NOT EXISTS (SELECT 1 FROM {delivery} x WHERE x.day = $1 AND x.domain = $2 AND x.state IN ('due', 'sending') AND x.uri NOT LIKE 'failure:%')`, int64(x.Day), x.Domain)
		return err
	})
}

// DeliveryOf implements store.Outbox.
func (d *DB) DeliveryOf(ctx context.Context, token string) (x store.Delivery, ok bool, err error) {
	all, err := d.deliveries(ctx, "token = $1", token)
	if len(all) == 1 {
		return all[0], true, err
	}
	return x, false, err
}

// PreviousDelivery implements store.Outbox.
func (d *DB) PreviousDelivery(ctx context.Context, x store.Delivery) (p store.Delivery, ok bool, err error) {
	all, err := d.deliveries(ctx, "address = $1 AND day <= $2 AND token <> $3 AND state IN ('sent', 'failed') ORDER BY day DESC, sent_at DESC LIMIT 1", x.Address, int64(x.Day), x.Token)
	if len(all) == 1 {
		return all[0], true, err
	}
	return p, false, err
}

// Resend implements store.Outbox.
func (d *DB) Resend(ctx context.Context, day store.Day, domain string, now int64) (n int64, err error) {
	err = d.Write(ctx, func(tx *sql.Tx) error {
		n, err = d.in(ctx, tx, `UPDATE {delivery} SET state = 'due', first_at = 0, attempts = 0, next_at = $3 WHERE day = $1 AND domain = $2 AND state IN ('sent', 'failed', 'expired')
			AND uri NOT LIKE 'failure:%'`, int64(day), domain, now)
		if err == nil && n > 0 {
			_, err = d.in(ctx, tx, "UPDATE {report} SET state = 'sealed' WHERE day = $1 AND domain = $2 AND state = 'done'", int64(day), domain)
		}
		return err
	})
	return n, err
}

func (d *DB) suppressions(ctx context.Context, where string, args ...any) (all []store.Suppression, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var s store.Suppression
		var byHand int
		err := rows.Scan(&s.Target, &s.Until, &s.Why, &s.Hits, &byHand)
		s.ByHand = byHand != 0
		all = append(all, s)
		return err
	}, "SELECT target, until_at, why, hits, by_hand FROM {suppression} WHERE "+where+" ORDER BY target", args...)
	return all, err
}

// Suppressions implements store.Outbox.
func (d *DB) Suppressions(ctx context.Context) ([]store.Suppression, error) {
	return d.suppressions(ctx, "until_at > 0")
}

// Suppression implements store.Outbox.
func (d *DB) Suppression(ctx context.Context, target string) (s store.Suppression, ok bool, err error) {
	all, err := d.suppressions(ctx, "target = $1", target)
	if len(all) == 1 {
		return all[0], true, err
	}
	return s, false, err
}

// Suppress implements store.Outbox.
func (d *DB) Suppress(ctx context.Context, s store.Suppression) error {
	byHand := int64(0)
	if s.ByHand {
		byHand = 1
	}
	_, err := d.exec(ctx, `INSERT INTO {suppression} (target, until_at, why, hits, by_hand) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (target) DO UPDATE SET until_at = excluded.until_at, why = excluded.why, hits = excluded.hits, by_hand = excluded.by_hand`, s.Target, s.Until, s.Why, int64(s.Hits), byHand)
	return err
}

// Lift implements store.Outbox.
func (d *DB) Lift(ctx context.Context, target string) (bool, error) {
	n, err := d.exec(ctx, "DELETE FROM {suppression} WHERE target = $1", target)
	return n > 0, err
}

// TrimReports implements store.Outbox.
func (d *DB) TrimReports(ctx context.Context, bodies, reports store.Day) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		if _, err := d.in(ctx, tx, "UPDATE {report} SET body = NULL WHERE day < $1 AND body IS NOT NULL AND state IN ('done', 'none')", int64(bodies)); err != nil {
			return err
		}
		if _, err := d.in(ctx, tx, "UPDATE {failure_report} SET body = NULL WHERE day < $1 AND body IS NOT NULL", int64(bodies)); err != nil {
			return err
		}
		for _, table := range []string{"report", "delivery", "failure_sent", "failure_report", "report_day"} {
			if _, err := d.in(ctx, tx, "DELETE FROM {"+table+"} WHERE day < $1", int64(reports)); err != nil {
				return err
			}
		}
		_, err := d.in(ctx, tx, "DELETE FROM {domain_seen} WHERE last_ok < $1", reports.Start())
		return err
	})
}

// ForgetReports removes what reports, outgoing and incoming, hold of a domain and the names
// below it. Of a network it removes the outgoing reports that were not sent yet, which are then
// built again without it, and the octets of those that were.
func (d *DB) ForgetReports(ctx context.Context, f store.Forgotten) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		if f.Domain == "" {
			return d.forgetBodies(ctx, tx)
		}
		for _, text := range []string{"DELETE FROM {inbound_row} WHERE inbound IN (SELECT id FROM {inbound} WHERE " + within + ")",
			"DELETE FROM {inbound} WHERE " + within, "DELETE FROM {source_day} WHERE " + within, "DELETE FROM {source_choice} WHERE " + within, "DELETE FROM {inbound_problem} WHERE " + within, "DELETE FROM {report} WHERE " + within, "DELETE FROM {delivery} WHERE " + within,
			"DELETE FROM {domain_seen} WHERE " + within, "DELETE FROM {failure_sent} WHERE " + within, "DELETE FROM {failure_report} WHERE " + within} {
			if _, err := d.in(ctx, tx, text, f.Domain, below(f.Domain)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *DB) forgetBodies(ctx context.Context, tx *sql.Tx) error {
	for _, text := range []string{"UPDATE {report_day} SET state = 'closed' WHERE state = 'built' AND day IN (SELECT day FROM {report} WHERE state = 'built')",
		"DELETE FROM {report} WHERE state = 'built'", "UPDATE {report} SET body = NULL WHERE state IN ('done', 'none')",
		"DELETE FROM {delivery} WHERE state IN ('due', 'sending') AND uri LIKE 'failure:%'", "DELETE FROM {failure_report} WHERE body IS NOT NULL"} {
		if _, err := d.in(ctx, tx, text); err != nil {
			return err
		}
	}
	return nil
}
