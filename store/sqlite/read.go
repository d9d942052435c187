package sqlite

import (
	"context"
	"database/sql"
	"net/netip"
	"strings"

	"postseal/store"
	"postseal/store/internal/sqltext"
)

// Page implements store.Reader.
func (d *DB) Page(ctx context.Context, day store.Day, q *store.Query, p store.Cursor) ([]store.Row, error) {
	statement, args := sqltext.Page(dialect, table(day), day, q, p)
	rows, err := d.reader.QueryContext(ctx, statement, args...)
	if older(err) {
		rows, err = d.reader.QueryContext(ctx, strings.Replace(statement, ", mid FROM", ", NULL FROM", 1), args...)
	}
	if err != nil {
		return nil, gone(err)
	}
	defer rows.Close()
	var all []store.Row
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, gone(rows.Err())
}

// gone turns the errors of a day that was dropped meanwhile, and of one without any Message-IDs, into
// nothing.
func gone(err error) error {
	if missing(err) || older(err) {
		return nil
	}
	return err
}

func where(day store.Day, q *store.Query) *sqltext.Where {
	w := sqltext.New(dialect)
	w.Day(day, q)
	w.Query(q)
	return w
}

func scan(rows *sql.Rows) (r store.Row, err error) {
	var ref int64
	var ip, hash, mid []byte
	err = rows.Scan(&r.ID, &ref, &r.QID, &r.Node, &r.Door, &r.Action, &r.Applied, &r.Enforce, &r.Reason, &r.Author, &r.Authors, &r.MFrom, &r.Helo, &ip, &r.List,
		&r.SPF, &r.SPFDomain, &r.DKIM, &r.DMARC, &r.Aligned, &r.P, &r.PolicyDom, &hash, &r.ARC, &r.IPRev, &r.Override, &r.Why, &r.Stale, &r.DNS, &r.Bytes, &r.Took, &r.Cause, &r.Late, &mid)
	r.Ref, r.Millis = store.RefText(ref), store.IDMillis(r.ID)
	r.IP, _ = netip.AddrFromSlice(ip)
	copy(r.PolicyHash[:], hash)
	copy(r.MessageID[:], mid)
	return r, err
}

// Count implements store.Reader.
func (d *DB) Count(ctx context.Context, day store.Day, q *store.Query, most int) (n int, err error) {
	w := where(day, q)
	err = d.reader.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+table(day)+w.String()+" LIMIT "+w.Arg(most)+")", w.Args...).Scan(&n)
	return n, gone(err)
}

// Hours implements store.Reader.
func (d *DB) Hours(ctx context.Context, day store.Day, q *store.Query) ([]store.Hour, error) {
	w := where(day, q)
	rows, err := d.reader.QueryContext(ctx, "SELECT (id >> 21) / 3600000, applied, count(*) FROM "+table(day)+w.String()+" GROUP BY 1, 2", w.Args...)
	if err != nil {
		return nil, gone(err)
	}
	defer rows.Close()
	hours := sqltext.Hours{}
	for rows.Next() {
		var hour int64
		var applied string
		var n int
		if err := rows.Scan(&hour, &applied, &n); err != nil {
			return nil, err
		}
		hours.Add(hour, applied, n)
	}
	return hours.List(), gone(rows.Err())
}

// Top implements store.Reader.
func (d *DB) Top(ctx context.Context, day store.Day, q *store.Query, f store.Field, limit int) ([]store.Group, error) {
	column, ok := sqltext.Column(f)
	if !ok {
		return nil, store.ErrField
	}
	w := where(day, q)
	w.And("%s <> ''", column)
	rows, err := d.reader.QueryContext(ctx, "SELECT "+column+", count(*) FROM "+table(day)+w.String()+" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT "+w.Arg(limit), w.Args...)
	if err != nil {
		return nil, gone(err)
	}
	defer rows.Close()
	var groups []store.Group
	for rows.Next() {
		var g store.Group
		if err := rows.Scan(&g.Value, &g.Count); err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, gone(rows.Err())
}

// each runs a query and gives every row to f.
func (d *DB) each(ctx context.Context, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := d.reader.QueryContext(ctx, query, args...)
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

// Nodes implements store.Reader.
func (d *DB) Nodes(ctx context.Context) (nodes []store.Node, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var n store.Node
		err := rows.Scan(&n.Slot, &n.Instance, &n.Boot, &n.Name, &n.Version, &n.At.Segment, &n.At.Offset, &n.Shipped, &n.Seen, &n.Lost)
		nodes = append(nodes, n)
		return err
	}, "SELECT slot, instance, boot, name, version, segment, pos, shipped_until, seen_at, lost FROM node ORDER BY slot")
	return nodes, err
}

// Losses implements store.Reader.
func (d *DB) Losses(ctx context.Context) (losses []store.Loss, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var l store.Loss
		err := rows.Scan(&l.Node, &l.Day, &l.Reason, &l.N, &l.First, &l.Last)
		losses = append(losses, l)
		return err
	}, "SELECT node, day, reason, n, first, last FROM loss ORDER BY day DESC, node, reason")
	return losses, err
}

// below is a condition for a domain and the names below it.
const below = " (domain = ?1 OR domain LIKE '%.' || ?1) "

// ofDomain is the same, and holds for every domain where that is "".
const ofDomain = " (?1 = '' OR" + below + ") "

// Policies implements store.Reader.
func (d *DB) Policies(ctx context.Context, domain string, limit int) (all []store.Policy, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var p store.Policy
		var hash []byte
		err := rows.Scan(&hash, &p.Domain, &p.Text, &p.Discovery, &p.First, &p.Last)
		copy(p.Hash[:], hash)
		all = append(all, p)
		return err
	}, "SELECT hash, domain, record, discovery, first_seen, last_seen FROM policy WHERE"+ofDomain+"ORDER BY last_seen DESC, domain LIMIT ?2", domain, limit)
	return all, err
}

// Selectors implements store.Reader.
func (d *DB) Selectors(ctx context.Context, domain string, limit int) (all []store.Selector, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var s store.Selector
		err := rows.Scan(&s.Domain, &s.Selector, &s.Algorithm, &s.Bits, &s.Verified, &s.First, &s.Last)
		all = append(all, s)
		return err
	}, "SELECT domain, selector, algo, bits, verified, first_seen, last_seen FROM selector WHERE"+ofDomain+"ORDER BY last_seen DESC, domain, selector LIMIT ?2", domain, limit)
	return all, err
}

// Records implements store.Reader.
func (d *DB) Records(ctx context.Context, domain string, limit int) ([]store.Record, error) {
	return d.records(ctx, "domain = ?1 AND (name = ?2 OR name LIKE '%.' || ?2)", limit, store.Registrable(domain), domain)
}

// Recent implements store.Reader.
func (d *DB) Recent(ctx context.Context, since int64, limit int) ([]store.Record, error) {
	return d.records(ctx, "last_seen >= ?1", limit, since)
}

func (d *DB) records(ctx context.Context, cond string, limit int, args ...any) (all []store.Record, err error) {
	w := sqltext.New(dialect)
	for _, a := range args {
		w.Arg(a)
	}
	err = d.each(ctx, func(rows *sql.Rows) error {
		var r store.Record
		var hash []byte
		err := rows.Scan(&r.Name, &hash, &r.Domain, &r.Text, &r.First, &r.Last)
		copy(r.Hash[:], hash)
		all = append(all, r)
		return err
	}, "SELECT name, hash, domain, record, first_seen, last_seen FROM record WHERE "+cond+" ORDER BY last_seen DESC, name LIMIT "+w.Arg(limit), w.Args...)
	return all, err
}
