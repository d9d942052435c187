package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	sqlitelib "modernc.org/sqlite/lib"

	"postseal/internal/app/failpoint"
	"postseal/store"
	"postseal/store/internal/sqltext"
)

const dayTable = `CREATE TABLE IF NOT EXISTS %[1]s (
  id INTEGER PRIMARY KEY, ref INTEGER NOT NULL, qid TEXT NOT NULL, node INTEGER NOT NULL, door TEXT NOT NULL, action TEXT NOT NULL, applied TEXT NOT NULL,
  enforce TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL, authors TEXT NOT NULL, mfrom TEXT NOT NULL, helo TEXT NOT NULL, ip BLOB, list TEXT NOT NULL,
  spf TEXT NOT NULL, spf_domain TEXT NOT NULL, dkim TEXT NOT NULL, dmarc TEXT NOT NULL, aligned TEXT NOT NULL, p TEXT NOT NULL, policy_domain TEXT NOT NULL,
  policy_hash BLOB, arc TEXT NOT NULL, iprev TEXT NOT NULL, override TEXT NOT NULL, why TEXT NOT NULL, stale INTEGER NOT NULL, dns INTEGER NOT NULL,
  bytes INTEGER NOT NULL, ms INTEGER NOT NULL, cause INTEGER NOT NULL, late INTEGER NOT NULL, mid BLOB) STRICT;
CREATE INDEX IF NOT EXISTS %[1]s_ref ON %[1]s (ref);
CREATE INDEX IF NOT EXISTS %[1]s_qid ON %[1]s (qid);
CREATE INDEX IF NOT EXISTS %[1]s_author ON %[1]s (author, id);
CREATE INDEX IF NOT EXISTS %[1]s_ip ON %[1]s (ip, id);
CREATE INDEX IF NOT EXISTS %[1]s_action ON %[1]s (action, id) WHERE action <> 'accept';
CREATE INDEX IF NOT EXISTS %[1]s_mid ON %[1]s (mid) WHERE mid IS NOT NULL;
INSERT OR IGNORE INTO report_day (day) VALUES (%[2]d);
INSERT OR IGNORE INTO day_info (day) VALUES (%[2]d);`

// Claim implements store.Store.
func (d *DB) Claim(ctx context.Context, n store.Node) (store.Node, error) {
	err := d.write(ctx, func(tx *sql.Tx) error {
		at := n.At
		err := tx.QueryRowContext(ctx, "SELECT slot, segment, pos, shipped_until, lost FROM node WHERE instance = ?", n.Instance).
			Scan(&n.Slot, &n.At.Segment, &n.At.Offset, &n.Shipped, &n.Lost)
		if errors.Is(err, sql.ErrNoRows) {
			n.Slot, err = newSlot(ctx, tx, n)
		}
		if at != (store.Position{}) {
			n.At = at
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE node SET boot = ?, name = ?, version = ?, segment = ?, pos = ? WHERE slot = ?", n.Boot, n.Name, n.Version, n.At.Segment, n.At.Offset, n.Slot)
		}
		return err
	})
	return n, err
}

// newSlot gives a node the lowest slot that is free; without one, that of the node which was
// silent for longest, at least for store.SlotSilence.
func newSlot(ctx context.Context, tx *sql.Tx, n store.Node) (slot int, err error) {
	const now = "unixepoch() * 1000"
	err = tx.QueryRowContext(ctx, `WITH RECURSIVE slots (s) AS (SELECT 1 UNION ALL SELECT s + 1 FROM slots WHERE s < ?5)
		INSERT INTO node (slot, instance, boot, name, version, seen_at) SELECT s, ?1, ?2, ?3, ?4, `+now+` FROM slots WHERE s NOT IN (SELECT slot FROM node) ORDER BY s LIMIT 1 RETURNING slot`,
		n.Instance, n.Boot, n.Name, n.Version, store.MaxSlot).Scan(&slot)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `UPDATE node SET instance = ?, seen_at = `+now+`, segment = 0, pos = 0, shipped_until = 0, lost = 0
			WHERE slot = (SELECT slot FROM node WHERE seen_at < `+now+` - ? ORDER BY seen_at LIMIT 1) RETURNING slot`, n.Instance, store.SlotSilence.Milliseconds()).Scan(&slot)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, store.ErrSlots
	}
	return slot, err
}

// write runs f in a transaction of the one writer. A transaction cannot be in doubt: what
// the file holds after an error is read again.
func (d *DB) write(ctx context.Context, f func(*sql.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.locked(ctx, f)
}

func (d *DB) locked(ctx context.Context, f func(*sql.Tx) error) error {
	if d.conn == nil {
		return errors.New("the database is closed or read only")
	}
	tx, err := d.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}

// Ship implements store.Store. When the file is full, the oldest day goes.
func (d *DB) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (s store.Shipped, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		err = d.locked(ctx, func(tx *sql.Tx) error {
			s = store.Shipped{}
			if err := move(ctx, tx, n, from, to); err != nil {
				return err
			}
			failpoint.Reach("position")
			s.Late, err = d.add(ctx, tx, b, n.Slot)
			s.Rows = len(b.Rows)
			failpoint.Reach("commit")
			return err
		})
		if codeOf(err) != sqlitelib.SQLITE_FULL || ctx.Err() != nil || !d.atBound(ctx) || !d.dropOldest(ctx) {
			return s, refused(err)
		}
	}
}

// refused marks the errors that another batch would not have.
func refused(err error) error {
	var already *store.RefusedError
	if errors.As(err, &already) {
		return err
	}
	switch codeOf(err) {
	case sqlitelib.SQLITE_CONSTRAINT, sqlitelib.SQLITE_MISMATCH, sqlitelib.SQLITE_TOOBIG, sqlitelib.SQLITE_RANGE:
		return &store.RefusedError{Err: err}
	}
	return err
}

// move moves the position, or fails with ErrPosition.
func move(ctx context.Context, tx *sql.Tx, n store.Node, from, to store.Position) error {
	r, err := tx.ExecContext(ctx, `UPDATE node SET segment = ?, pos = ?, shipped_until = ?, seen_at = ? WHERE slot = ? AND instance = ? AND boot = ? AND segment = ? AND pos = ?`,
		to.Segment, to.Offset, n.Shipped, n.Seen, n.Slot, n.Instance, n.Boot, from.Segment, from.Offset)
	if err != nil {
		return err
	}
	if rows, err := r.RowsAffected(); err != nil || rows != 1 {
		return errors.Join(store.ErrPosition, err)
	}
	return nil
}

// add writes what a batch holds.
func (d *DB) add(ctx context.Context, tx *sql.Tx, b *store.Batch, slot int) (late int, err error) {
	closed := map[store.Day]bool{}
	for i := range b.Rows {
		day := store.DayOf(b.Rows[i].Millis)
		if _, known := closed[day]; !known {
			if closed[day], err = d.openDay(ctx, tx, day); err != nil {
				return late, err
			}
		}
		r := &b.Rows[i]
		if r.Node, r.Late = slot, closed[day]; r.Late {
			late++
		}
		if err := d.insert(ctx, day, r); err != nil {
			return late, err
		}
	}
	failpoint.Reach("rows")
	return late, addFacts(ctx, tx, b)
}

// openDay makes the table of a day, and reports whether the day is closed.
func (d *DB) openDay(ctx context.Context, tx *sql.Tx, day store.Day) (closed bool, err error) {
	var state string
	err = tx.QueryRowContext(ctx, "SELECT state FROM report_day JOIN day_info USING (day) WHERE day = ?", int(day)).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, fmt.Sprintf(dayTable, table(day), int(day)))
		state = "open"
	}
	return state != "open", err
}

const keptStatements = 4

// insert writes one row, with a statement of the connection whose transaction is open. An id that is taken, as after a step of the clock, is moved on.
func (d *DB) insert(ctx context.Context, day store.Day, r *store.Row) error {
	stmt, err := d.statement(ctx, day)
	if err != nil {
		return err
	}
	for millis := d.free(r.Millis); store.DayOf(millis) == day; millis = d.free(millis) {
		for range store.MaxSeq + 1 {
			d.sequence++
			r.ID = store.MakeID(millis, r.Node, d.sequence)
			result, err := stmt.ExecContext(ctx, values(r)...)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 1 {
				return err
			}
		}
		if d.fullTo != millis {
			d.fullFrom = millis
		}
		d.fullTo = millis + 1
	}
	return &store.RefusedError{Err: errors.New("no id is left on this day")}
}

// free returns the first time from millis on that is not known to have no id left.
func (d *DB) free(millis int64) int64 {
	if millis >= d.fullFrom && millis < d.fullTo {
		return d.fullTo
	}
	return millis
}

func (d *DB) statement(ctx context.Context, day store.Day) (*sql.Stmt, error) {
	if s := d.inserts[day]; s != nil {
		return s, nil
	}
	if len(d.inserts) >= keptStatements {
		for old, s := range d.inserts {
			s.Close()
			delete(d.inserts, old)
		}
	}
	s, err := d.conn.PrepareContext(ctx, "INSERT INTO "+table(day)+" ("+sqltext.Columns+") VALUES (?"+strings.Repeat(", ?", sqltext.ColumnCount-1)+") ON CONFLICT (id) DO NOTHING")
	if err == nil {
		d.inserts[day] = s
	}
	return s, err
}

func values(r *store.Row) []any {
	ref, _ := store.RefNumber(r.Ref)
	var ip, hash, mid any
	if r.IP.IsValid() {
		ip = r.IP.AsSlice()
	}
	if !r.PolicyHash.IsZero() {
		hash = r.PolicyHash[:]
	}
	if !r.MessageID.IsZero() {
		mid = r.MessageID[:]
	}
	late := 0
	if r.Late {
		late = 1
	}
	return []any{r.ID, ref, r.QID, r.Node, r.Door, r.Action, r.Applied, r.Enforce, r.Reason, r.Author, r.Authors, r.MFrom, r.Helo, ip, r.List,
		r.SPF, r.SPFDomain, r.DKIM, r.DMARC, r.Aligned, r.P, r.PolicyDom, hash, r.ARC, r.IPRev, r.Override, r.Why, r.Stale, r.DNS, r.Bytes, r.Took, r.Cause, late, mid}
}

func addFacts(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	for _, p := range b.Policies {
		if _, err := tx.ExecContext(ctx, `INSERT INTO policy (hash, domain, record, discovery, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (hash) DO UPDATE SET first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)`,
			p.Hash[:], p.Domain, p.Text, p.Discovery, p.First, p.Last); err != nil {
			return err
		}
	}
	for _, s := range b.Selectors {
		if _, err := tx.ExecContext(ctx, `INSERT INTO selector (domain, selector, algo, bits, verified, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (domain, selector) DO UPDATE SET algo = excluded.algo, bits = max(bits, excluded.bits), verified = max(verified, excluded.verified),
			first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)`,
			s.Domain, s.Selector, s.Algorithm, s.Bits, s.Verified, s.First, s.Last); err != nil {
			return err
		}
	}
	for _, r := range b.Records {
		if _, err := tx.ExecContext(ctx, `INSERT INTO record (name, hash, domain, record, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (name, hash) DO UPDATE SET first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)`,
			r.Name, r.Hash[:], r.Domain, r.Text, r.First, r.Last); err != nil {
			return err
		}
	}
	return addLosses(ctx, tx, b.Losses)
}

// addLosses adds to what is known to be missing. A number that is not known stays unknown.
func addLosses(ctx context.Context, tx *sql.Tx, losses []store.Loss) error {
	for _, l := range losses {
		if _, err := tx.ExecContext(ctx, `INSERT INTO loss (node, day, reason, n, first, last) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (node, day, reason) DO UPDATE SET n = CASE WHEN n < 0 OR excluded.n < 0 THEN -1 ELSE n + excluded.n END,
			first = min(first, excluded.first), last = max(last, excluded.last)`, l.Node, int(l.Day), l.Reason, l.N, l.First, l.Last); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE node SET lost = lost + max(?, 0) WHERE name = ?", l.N, l.Node); err != nil {
			return err
		}
	}
	return nil
}

// Import implements store.Store.
func (d *DB) Import(ctx context.Context, rows []store.Row, b *store.Batch) (added int, err error) {
	err = d.write(ctx, func(tx *sql.Tx) error {
		added = 0
		for i := range rows {
			r := &rows[i]
			day := store.DayOf(r.Millis)
			if _, err := d.openDay(ctx, tx, day); err != nil {
				return err
			}
			var known int
			ref, _ := store.RefNumber(r.Ref)
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+table(day)+" WHERE ref = ? AND id >= ? AND id < ?", ref, store.FirstID(r.Millis), store.FirstID(r.Millis+sqltext.MovedMillis)).Scan(&known); err != nil {
				return err
			}
			if known > 0 {
				continue
			}
			if err := d.insert(ctx, day, r); err != nil {
				return err
			}
			added++
		}
		return addFacts(ctx, tx, b)
	})
	return added, refused(err)
}
