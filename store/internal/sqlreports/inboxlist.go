package sqlreports

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"postseal/store"
)

const inboundColumns = "id, kind, org, email, report_id, domain, begin_at, end_at, records, messages, warnings, meta, digest, carrier, proven, read_at"

func (d *DB) inbound(ctx context.Context, where string, args ...any) (all []store.Inbound, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var r store.Inbound
		var digest []byte
		var proven int64
		err := rows.Scan(&r.ID, &r.Kind, &r.Org, &r.Email, &r.ReportID, &r.Domain, &r.Begin, &r.End, &r.Records, &r.Messages, &r.Warnings, &r.Meta, &digest, &r.Carrier, &proven, &r.ReadAt)
		copy(r.Digest[:], digest)
		r.Proven = proven != 0
		all = append(all, r)
		return err
	}, "SELECT "+inboundColumns+" FROM {inbound} WHERE state = 'read' AND "+where, args...)
	return all, err
}

// selected is the condition of a filter with its arguments, except for Before and Limit. It uses each argument:
// PostgreSQL asks for the type of all.
func selected(f *store.InboundFilter) (where string, args []any) {
	until := f.Until
	if until == 0 {
		until = math.MaxInt64
	}
	where = "begin_at >= $3 AND begin_at < $4 AND ($5 = '' OR kind = $5) AND ($6 = '' OR org = $6) AND $2 <> '.'"
	if f.Domain != "" {
		where += " AND " + withinOf("inbound")
	} else {
		where += " AND $1 = ''"
	}
	return where, []any{f.Domain, below(f.Domain), f.Since, until, f.Kind, f.Org}
}

// InboundReports implements store.Inbox.
func (d *DB) InboundReports(ctx context.Context, f store.InboundFilter) (all []store.Inbound, err error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	if f.Before <= 0 {
		f.Before = math.MaxInt64
	}
	where, args := selected(&f)
	return d.inbound(ctx, where+" AND id < $7 ORDER BY id DESC LIMIT $8", append(args, f.Before, int64(f.Limit))...)
}

// InboundReport implements store.Inbox.
func (d *DB) InboundReport(ctx context.Context, id int64) (r store.Inbound, ok bool, err error) {
	all, err := d.inbound(ctx, "id = $1", id)
	if err != nil || len(all) == 0 {
		return r, false, err
	}
	return all[0], true, nil
}

// InboundRows implements store.Inbox.
func (d *DB) InboundRows(ctx context.Context, id, n int64, limit int, f func(*store.InboundRow) error) error {
	most := int64(limit)
	if limit <= 0 {
		most = math.MaxInt64
	}
	return d.query(ctx, func(rows *sql.Rows) error {
		var r store.InboundRow
		if err := rows.Scan(&r.N, &r.IP, &r.Messages, &r.Record); err != nil {
			return err
		}
		return f(&r)
	}, "SELECT n, ip, messages, record FROM {inbound_row} WHERE inbound = $1 AND n > $2 ORDER BY n LIMIT $3", id, n, most)
}

// The reports that count, as in internal/app/inbox: $7 is how long they may be.
const (
	counts   = "proven <> 0 AND end_at - begin_at <= $7"
	tooLong  = "proven <> 0 AND end_at - begin_at > $7"
	sumWhere = " THEN 1 ELSE 0 END)"
)

// Reporters implements store.Inbox.
func (d *DB) Reporters(ctx context.Context, f store.InboundFilter, longest int64) (all []store.Reporter, err error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	f.Kind = "aggregate"
	where, args := selected(&f)
	err = d.query(ctx, func(rows *sql.Rows) error {
		var x store.Reporter
		err := rows.Scan(&x.Org, &x.Reports, &x.Messages, &x.Unproven, &x.Long, &x.LastRead)
		all = append(all, x)
		return err
	}, "SELECT org, sum(CASE WHEN "+counts+sumWhere+", CAST(sum(CASE WHEN "+counts+" THEN messages ELSE 0 END) AS bigint) AS counted, sum(CASE WHEN proven = 0"+sumWhere+", sum(CASE WHEN "+tooLong+sumWhere+
		", max(read_at) FROM {inbound} WHERE state = 'read' AND "+where+" GROUP BY org ORDER BY counted DESC, org LIMIT $8", append(args, longest, int64(f.Limit))...)
	return all, err
}

// InboundTotals implements store.Inbox.
func (d *DB) InboundTotals(ctx context.Context, f store.InboundFilter, longest int64) (t store.InboundTotals, err error) {
	f.Kind = "aggregate"
	where, args := selected(&f)
	args = append(args, longest)
	err = d.query(ctx, func(rows *sql.Rows) error {
		return rows.Scan(&t.Reports, &t.Reporters, &t.Unproven, &t.Long, &t.LastRead)
	}, "SELECT coalesce(sum(CASE WHEN "+counts+sumWhere+", 0), count(DISTINCT CASE WHEN "+counts+" THEN org END), coalesce(sum(CASE WHEN proven = 0"+sumWhere+", 0), coalesce(sum(CASE WHEN "+tooLong+sumWhere+
		", 0), coalesce(max(read_at), 0) FROM {inbound} WHERE state = 'read' AND "+where, args...)
	if err != nil || t.Reports == 0 {
		return t, err
	}
	err = d.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&t.Meta) },
		"SELECT meta FROM {inbound} WHERE state = 'read' AND "+where+" AND "+counts+" ORDER BY CASE WHEN domain = $1 THEN 0 ELSE 1 END, begin_at DESC, id LIMIT 1", args...)
	return t, err
}

// TopSources implements store.Inbox. The database adds up what is folded: a domain in whose name thousands of networks
// send has millions of rows.
func (d *DB) TopSources(ctx context.Context, domain string, since, until store.Day, most int) (all []store.Source, folded int, err error) {
	where := withinOf("source_day") + " AND day >= $3 AND day <= $4"
	args := []any{domain, below(domain), int64(since), int64(until)}
	err = d.query(ctx, func(rows *sql.Rows) error {
		s := store.Source{Domain: domain}
		n := 0
		err := rows.Scan(&s.Day, &s.Kind, &s.Source, &s.IP, &s.Messages, &s.SPF, &s.DKIM, &s.DMARC, &s.Quarantined, &s.Rejected, &s.Listed, &s.Broken, &n)
		all, folded = append(all, s), max(folded, n)
		return err
	}, `WITH top AS (SELECT kind AS k, source AS n FROM {source_day} WHERE `+where+` GROUP BY kind, source
			ORDER BY CASE WHEN sum(dmarc_ok) + sum(listed) + sum(broken) > 0 THEN 0 ELSE 1 END, sum(messages) DESC, source, kind LIMIT $5)
		SELECT d.day, CASE WHEN top.k IS NULL THEN 'net' ELSE d.kind END, CASE WHEN top.k IS NULL THEN '`+store.RestOfSources+`' ELSE d.source END, min(d.ip), `+sums("messages", "spf_ok", "dkim_ok", "dmarc_ok", "quarantined", "rejected", "listed", "broken")+`, sum(CASE WHEN top.k IS NULL THEN 1 ELSE 0 END)
		FROM {source_day} d LEFT JOIN top ON top.k = d.kind AND top.n = d.source WHERE `+where+" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", append(args, int64(most))...)
	return all, folded, err
}

// sums are the sums of columns, as integers in PostgreSQL too.
func sums(columns ...string) string {
	for i, c := range columns {
		columns[i] = "CAST(sum(d." + c + ") AS bigint)"
	}
	return strings.Join(columns, ", ")
}

// NoteProblems implements store.Inbox.
func (d *DB) NoteProblems(ctx context.Context, list []store.InboundProblem) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		for i := range list {
			p := &list[i]
			if _, err := d.in(ctx, tx, "INSERT INTO {inbound_problem} (at, result, why, source, org, domain, report_id) VALUES ($1, $2, $3, $4, $5, $6, $7)", p.At, p.Result, p.Why, p.Source, p.Org, p.Domain, p.ReportID); err != nil {
				return err
			}
		}
		_, err := d.in(ctx, tx, "DELETE FROM {inbound_problem} WHERE id <= (SELECT max(id) FROM {inbound_problem}) - $1", int64(store.KeptProblems))
		return err
	})
}

// InboundProblems implements store.Inbox. A database of an older version, opened to be read only, has none.
func (d *DB) InboundProblems(ctx context.Context) (all []store.InboundProblem, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var p store.InboundProblem
		err := rows.Scan(&p.At, &p.Result, &p.Why, &p.Source, &p.Org, &p.Domain, &p.ReportID)
		all = append(all, p)
		return err
	}, "SELECT at, result, why, source, org, domain, report_id FROM {inbound_problem} ORDER BY id DESC LIMIT $1", int64(store.KeptProblems))
	return all, d.gone(err)
}
