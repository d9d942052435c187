package sqlreports

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"postseal/store"
)

// The bounds of FirstDays: sources of one statement, and looks into the index. Strangers choose how many names below
// a domain there are.
const (
	firstAtOnce = 256
	firstLooks  = 20_000
)

// FirstDays implements store.Inbox. It looks each source up in the index source_day_first, so that what it reads does
// not depend on how many days there are.
func (d *DB) FirstDays(ctx context.Context, domain string, of []store.SourceName) (earliest store.Day, first map[store.SourceName]store.Day, err error) {
	if err = d.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&earliest) }, firstDayText, domain, below(domain)); err != nil {
		return 0, nil, err
	}
	first = map[store.SourceName]store.Day{}
	for part := range slices.Chunk(of, firstAtOnce) {
		text, args := firstDaysOf(domain, part, max(firstLooks/len(of), 1))
		err := d.query(ctx, func(rows *sql.Rows) error {
			var x store.SourceName
			var day sql.Null[store.Day]
			err := rows.Scan(&x.Kind, &x.Source, &day)
			if day.Valid {
				first[x] = day.V
			}
			return err
		}, text, args...)
		if err != nil {
			return 0, nil, err
		}
	}
	return earliest, first, nil
}

// own lists a domain and the names below it, itself first.
var own = names("source_day") + ` AND (name = $1 OR name LIKE $2 ESCAPE '\') ORDER BY CASE WHEN name = $1 THEN 0 ELSE 1 END, name`

var firstDayText = "SELECT coalesce(min((SELECT min(s.day) FROM {source_day} s WHERE s.domain = own.name)), 0) FROM (" + own + ") own"

// firstDaysOf is the statement for some sources at the first names of a domain.
func firstDaysOf(domain string, of []store.SourceName, names int) (text string, args []any) {
	args = []any{domain, below(domain), int64(names)}
	values := make([]string, len(of))
	for i, x := range of {
		values[i] = fmt.Sprintf("(CAST($%d AS text), CAST($%d AS text))", len(args)+1, len(args)+2)
		args = append(args, x.Kind, x.Source)
	}
	return "WITH want(kind, source) AS (VALUES " + strings.Join(values, ", ") + `)
		SELECT want.kind, want.source, min((SELECT min(s.day) FROM {source_day} s WHERE s.domain = own.name AND s.kind = want.kind AND s.source = want.source))
		FROM want, (` + own + " LIMIT $3) own GROUP BY want.kind, want.source", args
}

// longMeta is from how many characters on the text of a report is not read for its policy.
const longMeta = 8192

// PolicyDays implements store.Inbox. It goes from the newest report back to the newest of an earlier day in the
// index, so that it reads one report of a day.
func (d *DB) PolicyDays(ctx context.Context, domain string, most int) (all []store.PolicyDay, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var at int64
		var x store.PolicyDay
		err := rows.Scan(&at, &x.Meta)
		x.Day = store.DayOf(at)
		all = append(all, x)
		return err
	}, policyDaysText, domain, int64(most))
	return all, err
}

var policyDaysText = fmt.Sprintf(`WITH RECURSIVE each(at, n) AS (SELECT (SELECT begin_at %[1]s ORDER BY begin_at DESC LIMIT 1), 1
		UNION ALL SELECT (SELECT begin_at %[1]s AND begin_at < each.at - each.at %% %[2]d ORDER BY begin_at DESC LIMIT 1), each.n + 1 FROM each WHERE each.at IS NOT NULL AND each.n < $2)
	SELECT each.at, (SELECT CASE WHEN length(meta) < %[3]d THEN meta ELSE '' END %[1]s AND begin_at = each.at ORDER BY begin_at, id LIMIT 1) FROM each WHERE each.at IS NOT NULL ORDER BY each.at DESC`,
	"FROM {inbound} WHERE domain = $1 AND state = 'read' AND kind = 'aggregate' AND proven <> 0", store.Day(1).Start(), longMeta)

// ImportSources implements store.Inbox.
func (d *DB) ImportSources(ctx context.Context, list []store.Source) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		for _, s := range list {
			if _, err := d.in(ctx, tx, `INSERT INTO {source_day} (domain, day, kind, source, ip, messages, spf_ok, dkim_ok, dmarc_ok, quarantined, rejected, listed, broken)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
				s.Domain, int64(s.Day), s.Kind, s.Source, s.IP, s.Messages, s.SPF, s.DKIM, s.DMARC, s.Quarantined, s.Rejected, s.Listed, s.Broken); err != nil {
				return err
			}
		}
		return nil
	})
}
