package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postseal/internal/app/failpoint"
	"postseal/store"
	"postseal/store/internal/sqltext"
)

// The advisory locks: partitions are made, nodes claimed and batches imported one at a time.
const (
	dayLock    = 0x706f7374 // "post"
	nodeLock   = dayLock + 1
	importLock = dayLock + 2
)

// uniqueViolation is the SQLSTATE of a key that is taken.
const uniqueViolation = "23505"

// Claim implements store.Store.
func (d *DB) Claim(ctx context.Context, n store.Node) (store.Node, error) {
	err := d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", nodeLock); err != nil {
			return err
		}
		at := n.At
		err := tx.QueryRow(ctx, "SELECT slot, segment, pos, shipped_until, lost FROM postseal.node WHERE instance = $1", n.Instance).
			Scan(&n.Slot, &n.At.Segment, &n.At.Offset, &n.Shipped, &n.Lost)
		if errors.Is(err, pgx.ErrNoRows) {
			n.Slot, err = newSlot(ctx, tx, n)
		}
		if at != (store.Position{}) {
			n.At = at
		}
		if err == nil {
			_, err = tx.Exec(ctx, "UPDATE postseal.node SET boot = $1, name = $2, version = $3, segment = $4, pos = $5 WHERE slot = $6", n.Boot, n.Name, n.Version, n.At.Segment, n.At.Offset, n.Slot)
		}
		return err
	})
	return n, err
}

// newSlot gives a node the lowest slot that is free; without one, that of the node which was
// silent for longest, at least for store.SlotSilence.
func newSlot(ctx context.Context, tx pgx.Tx, n store.Node) (slot int, err error) {
	const now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
	err = tx.QueryRow(ctx, `INSERT INTO postseal.node (slot, instance, boot, name, version, seen_at)
		SELECT s, $1, $2, $3, $4, `+now+` FROM generate_series(1, $5) s WHERE NOT EXISTS (SELECT FROM postseal.node WHERE slot = s) ORDER BY s LIMIT 1 RETURNING slot`,
		n.Instance, n.Boot, n.Name, n.Version, store.MaxSlot).Scan(&slot)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `UPDATE postseal.node SET instance = $1, seen_at = `+now+`, segment = 0, pos = 0, shipped_until = 0, lost = 0
			WHERE slot = (SELECT slot FROM postseal.node WHERE seen_at < `+now+` - $2 ORDER BY seen_at LIMIT 1) RETURNING slot`, n.Instance, store.SlotSilence.Milliseconds()).Scan(&slot)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, store.ErrSlots
	}
	return slot, err
}

func (d *DB) begin(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, d.pool, f)
}

// Ship implements store.Store. The position is lost together with the rows, and shipped
// again, so the commit need not wait for the disk.
func (d *DB) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (s store.Shipped, err error) {
	if err := d.beginDays(ctx, b.Rows); err != nil {
		return s, refused(err)
	}
	err = d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE postseal.node SET segment = $1, pos = $2, shipped_until = $3, seen_at = $4 WHERE slot = $5 AND instance = $6 AND boot = $7 AND segment = $8 AND pos = $9`,
			to.Segment, to.Offset, n.Shipped, n.Seen, n.Slot, n.Instance, n.Boot, from.Segment, from.Offset)
		if err != nil {
			return err
		}
		if err := checkMajor(ctx, tx); err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return store.ErrPosition
		}
		failpoint.Reach("position")
		s.Rows = len(b.Rows)
		if s.Late, err = markLate(ctx, tx, b.Rows, n.Slot); err != nil {
			return err
		}
		if err := d.add(ctx, tx, b.Rows); err != nil {
			return err
		}
		failpoint.Reach("rows")
		err = addFacts(ctx, tx, b)
		failpoint.Reach("commit")
		return err
	})
	if missingDay(err) { // a day that was dropped meanwhile
		d.forgetDays()
	}
	return s, refused(err)
}

// refused marks the errors that another batch would not have: data exceptions, and
// constraints other than a missing partition.
func refused(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && !missingDay(err) && (e.Code[:2] == "22" || e.Code[:2] == "23") {
		return &store.RefusedError{Err: err}
	}
	return err
}

// missingDay reports whether a row has no partition.
func missingDay(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "23514" && e.ConstraintName == "" || e.Code == "42P01")
}

// markLate notes the node of rows, and those of days that are closed.
func markLate(ctx context.Context, tx pgx.Tx, rows []store.Row, slot int) (late int, err error) {
	closed, err := closedDays(ctx, tx, rows)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		r := &rows[i]
		if r.Node, r.Late = slot, closed[store.DayOf(r.Millis)]; r.Late {
			late++
		}
	}
	return late, nil
}

// copies is how often rows are copied, each time with other ids: only another writer of the same node
// takes ids that were free a moment before.
const copies = 10

// add writes rows by COPY. Where one has an id that is taken, as after a step of the clock, it looks which are free.
func (d *DB) add(ctx context.Context, tx pgx.Tx, rows []store.Row) (err error) {
	if len(rows) == 0 {
		return nil
	}
	for i := range copies {
		ids := &numbering{db: d, tx: tx}
		if i > 0 {
			ids.taken = map[moment]*sequences{}
		}
		if err := ids.number(ctx, rows); err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) error { // a savepoint
			_, err := sub.CopyFrom(ctx, pgx.Identifier{schema, "verdict"}, sqltext.Names(), pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return values(&rows[i]), nil }))
			return err
		})
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != uniqueViolation {
			return err
		}
	}
	return err
}

// closedDays locks the days of rows against being closed meanwhile.
func closedDays(ctx context.Context, tx pgx.Tx, rows []store.Row) (map[store.Day]bool, error) {
	closed := map[store.Day]bool{}
	for i := range rows {
		day := store.DayOf(rows[i].Millis)
		if _, known := closed[day]; known {
			continue
		}
		var state string
		if err := tx.QueryRow(ctx, "SELECT state FROM postseal.report_day WHERE day = $1 FOR SHARE", int(day)).Scan(&state); err != nil {
			return nil, err
		}
		closed[day] = state != "open"
	}
	return closed, nil
}

func values(r *store.Row) []any {
	ref, _ := store.RefNumber(r.Ref)
	var ip, hash, mid any
	if r.IP.IsValid() {
		ip = r.IP
	}
	if !r.PolicyHash.IsZero() {
		hash = r.PolicyHash[:]
	}
	if !r.MessageID.IsZero() {
		mid = r.MessageID[:]
	}
	return []any{r.ID, ref, r.QID, r.Node, r.Door, r.Action, r.Applied, r.Enforce, r.Reason, r.Author, r.Authors, r.MFrom, r.Helo, ip, r.List,
		r.SPF, r.SPFDomain, r.DKIM, r.DMARC, r.Aligned, r.P, r.PolicyDom, hash, r.ARC, r.IPRev, r.Override, r.Why, r.Stale, r.DNS, r.Bytes, r.Took, r.Cause, r.Late, mid}
}

func addFacts(ctx context.Context, tx pgx.Tx, b *store.Batch) error {
	q := &pgx.Batch{}
	for _, p := range b.Policies {
		q.Queue(`INSERT INTO postseal.policy AS t (hash, domain, record, discovery, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (hash) DO UPDATE SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)`,
			p.Hash[:], p.Domain, p.Text, p.Discovery, p.First, p.Last)
	}
	for _, s := range b.Selectors {
		q.Queue(`INSERT INTO postseal.selector AS t (domain, selector, algo, bits, verified, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (domain, selector) DO UPDATE SET algo = excluded.algo, bits = greatest(t.bits, excluded.bits), verified = t.verified OR excluded.verified,
			first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)`,
			s.Domain, s.Selector, s.Algorithm, s.Bits, s.Verified, s.First, s.Last)
	}
	for _, r := range b.Records {
		q.Queue(`INSERT INTO postseal.record AS t (name, hash, domain, record, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (name, hash) DO UPDATE SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)`,
			r.Name, r.Hash[:], r.Domain, r.Text, r.First, r.Last)
	}
	for _, l := range b.Losses {
		q.Queue(`INSERT INTO postseal.loss AS t (node, day, reason, n, first, last) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (node, day, reason) DO UPDATE SET n = CASE WHEN t.n < 0 OR excluded.n < 0 THEN -1 ELSE t.n + excluded.n END,
			first = least(t.first, excluded.first), last = greatest(t.last, excluded.last)`, l.Node, int(l.Day), l.Reason, l.N, l.First, l.Last)
		q.Queue("UPDATE postseal.node SET lost = lost + greatest($1::bigint, 0) WHERE name = $2", l.N, l.Node)
	}
	if q.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, q).Close()
}

// Import implements store.Store.
func (d *DB) Import(ctx context.Context, rows []store.Row, b *store.Batch) (added int, err error) {
	if err := d.beginDays(ctx, rows); err != nil {
		return 0, err
	}
	err = d.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", importLock); err != nil {
			return err
		}
		fresh, err := unknown(ctx, tx, rows)
		if err != nil {
			return err
		}
		added = len(fresh)
		if err := d.add(ctx, tx, fresh); err != nil {
			return err
		}
		return addFacts(ctx, tx, b)
	})
	return added, refused(err)
}

// unknown returns the rows that the database does not have, each once.
func unknown(ctx context.Context, tx pgx.Tx, rows []store.Row) (fresh []store.Row, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	refs, first, last := make([]int64, len(rows)), rows[0].Millis, rows[0].Millis
	for i := range rows {
		refs[i], _ = store.RefNumber(rows[i].Ref)
		first, last = min(first, rows[i].Millis), max(last, rows[i].Millis)
	}
	found, err := tx.Query(ctx, fmt.Sprintf("SELECT ref, id >> 21 FROM postseal.verdict WHERE ref = ANY($1) AND id >= %d AND id < %d", store.FirstID(first), store.FirstID(last+sqltext.MovedMillis)), refs)
	if err != nil {
		return nil, err
	}
	known := map[int64][]int64{} // the times of each ref
	var ref, at int64
	if _, err := pgx.ForEachRow(found, []any{&ref, &at}, func() error { known[ref] = append(known[ref], at); return nil }); err != nil {
		return nil, err
	}
	for i := range rows {
		from := rows[i].Millis
		if !slices.ContainsFunc(known[refs[i]], func(at int64) bool { return at >= from && at < from+sqltext.MovedMillis }) {
			known[refs[i]] = append(known[refs[i]], from)
			fresh = append(fresh, rows[i])
		}
	}
	return fresh, nil
}
