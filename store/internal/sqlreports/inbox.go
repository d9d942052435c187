package sqlreports

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"postseal/store"
)

// BeginInbound implements store.Inbox.
func (d *DB) BeginInbound(ctx context.Context, at int64) (id int64, err error) {
	err = d.Write(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, d.sql(`INSERT INTO {inbound} (state, kind, org, email, report_id, domain, begin_at, end_at, records, messages, warnings, meta, digest, carrier, proven, read_at)
			VALUES ('reading', '', '', '', $1, '', 0, 0, 0, 0, 0, '', $2, '', 0, $3) RETURNING id`), rand.Text(), []byte{}, at).Scan(&id)
	})
	return id, err
}

// AddInboundRows implements store.Inbox.
func (d *DB) AddInboundRows(ctx context.Context, id int64, rows []store.InboundRow) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, d.sql("INSERT INTO {inbound_row} (inbound, n, ip, messages, record) VALUES ($1, $2, $3, $4, $5)"))
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := range rows {
			r := &rows[i]
			if _, err := insert.ExecContext(ctx, id, r.N, r.IP, r.Messages, r.Record); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndInbound implements store.Inbox.
func (d *DB) EndInbound(ctx context.Context, id int64, r store.Inbound, sources []store.Source) (outcome string, err error) {
	end := func(tx *sql.Tx) error {
		outcome, err = d.endInbound(ctx, tx, id, &r, sources)
		return err
	}
	if err = d.Write(ctx, end); err != nil && ctx.Err() == nil {
		err = d.Write(ctx, end) // where another process ended the same report meanwhile, it is known now
	}
	return outcome, err
}

func (d *DB) endInbound(ctx context.Context, tx *sql.Tx, id int64, r *store.Inbound, sources []store.Source) (string, error) {
	var old int64
	var digest []byte
	var proven int64
	err := tx.QueryRowContext(ctx, d.sql(`SELECT id, digest, proven FROM {inbound} WHERE kind = $1 AND org = $2 AND domain = $3 AND report_id = $4 AND begin_at = $5 AND end_at = $6 AND state = 'read'`),
		r.Kind, r.Org, r.Domain, r.ReportID, r.Begin, r.End).Scan(&old, &digest, &proven)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return "", err
	case proven == 0 && r.Proven:
		// What a stranger sent under this name gives way to what its reporter sent.
		if err := d.drop(ctx, tx, old); err != nil {
			return "", err
		}
	default:
		outcome := store.InboundKnown
		if string(digest) != string(r.Digest[:]) {
			outcome = store.InboundDiffers
		}
		return outcome, d.drop(ctx, tx, id)
	}
	n := int64(0)
	if r.Proven {
		n = 1
	}
	changed, err := d.in(ctx, tx, `UPDATE {inbound} SET state = 'read', kind = $2, org = $3, email = $4, report_id = $5, domain = $6, begin_at = $7, end_at = $8, records = $9,
		messages = $10, warnings = $11, meta = $12, digest = $13, carrier = $14, proven = $15 WHERE id = $1`,
		id, r.Kind, r.Org, r.Email, r.ReportID, r.Domain, r.Begin, r.End, r.Records, r.Messages, r.Warnings, r.Meta, r.Digest[:], r.Carrier, n)
	switch {
	case err != nil:
		return "", err
	case changed == 0: // TrimInbound takes what was begun long ago
		return "", errors.New("the report was removed before it was read completely")
	}
	return store.InboundNew, d.addSources(ctx, tx, sources)
}

func (d *DB) addSources(ctx context.Context, tx *sql.Tx, sources []store.Source) error {
	// Several processes add sources in one order, or PostgreSQL ends one of them as a deadlock.
	for _, s := range slices.SortedFunc(slices.Values(sources), func(a, b store.Source) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Source, b.Source))
	}) {
		if _, err := d.in(ctx, tx, `INSERT INTO {source_day} AS t (domain, day, kind, source, ip, messages, spf_ok, dkim_ok, dmarc_ok, quarantined, rejected, listed, broken)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (domain, day, kind, source) DO UPDATE SET messages = t.messages + excluded.messages, spf_ok = t.spf_ok + excluded.spf_ok,
			dkim_ok = t.dkim_ok + excluded.dkim_ok, dmarc_ok = t.dmarc_ok + excluded.dmarc_ok, quarantined = t.quarantined + excluded.quarantined,
			rejected = t.rejected + excluded.rejected, listed = t.listed + excluded.listed, broken = t.broken + excluded.broken`,
			s.Domain, int64(s.Day), s.Kind, s.Source, s.IP, s.Messages, s.SPF, s.DKIM, s.DMARC, s.Quarantined, s.Rejected, s.Listed, s.Broken); err != nil {
			return err
		}
	}
	return nil
}

// DropInbound implements store.Inbox.
func (d *DB) DropInbound(ctx context.Context, id int64) error {
	return d.Write(ctx, func(tx *sql.Tx) error { return d.drop(ctx, tx, id) })
}

func (d *DB) drop(ctx context.Context, tx *sql.Tx, id int64) error {
	if _, err := d.in(ctx, tx, "DELETE FROM {inbound_row} WHERE inbound = $1", id); err != nil {
		return err
	}
	_, err := d.in(ctx, tx, "DELETE FROM {inbound} WHERE id = $1", id)
	return err
}

// TrimInbound implements store.Inbox.
func (d *DB) TrimInbound(ctx context.Context, begun, rows int64, sources store.Day) error {
	return d.Write(ctx, func(tx *sql.Tx) error {
		for _, s := range []struct {
			text string
			arg  int64
		}{
			{"DELETE FROM {inbound_row} WHERE inbound IN (SELECT id FROM {inbound} WHERE state = 'reading' AND read_at < $1)", begun},
			{"DELETE FROM {inbound} WHERE state = 'reading' AND read_at < $1", begun},
			{"DELETE FROM {inbound_row} WHERE inbound IN (SELECT id FROM {inbound} WHERE read_at < $1)", rows},
			{"DELETE FROM {source_day} WHERE day < $1", int64(sources)},
			{"DELETE FROM {inbound} WHERE read_at < $1", sources.Start()},
		} {
			if _, err := d.in(ctx, tx, s.text, s.arg); err != nil {
				return err
			}
		}
		return nil
	})
}

var likeEscape = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace

// within is a condition for a domain, $1, and the names below it, $2.
const within = `(domain = $1 OR domain LIKE $2 ESCAPE '\')`

// names lists the domains of a table with an index that begins with domain: it goes from one to the next in
// the index, however many rows each has.
func names(table string) string {
	return `WITH RECURSIVE each(name) AS (SELECT min(domain) FROM {` + table + `} UNION ALL SELECT (SELECT min(domain) FROM {` + table + `} WHERE domain > each.name) FROM each WHERE each.name IS NOT NULL)
		SELECT name FROM each WHERE name IS NOT NULL`
}

// withinOf is within for a large table: of its domains, those that are in the list are looked up in the index.
func withinOf(table string) string {
	return "domain IN (" + names(table) + ` AND (name = $1 OR name LIKE $2 ESCAPE '\'))`
}

func below(domain string) string { return "%." + likeEscape(domain) }

// Sources implements store.Inbox.
func (d *DB) Sources(ctx context.Context, domain string, since, until store.Day) (all []store.Source, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var s store.Source
		err := rows.Scan(&s.Domain, &s.Day, &s.Kind, &s.Source, &s.IP, &s.Messages, &s.SPF, &s.DKIM, &s.DMARC, &s.Quarantined, &s.Rejected, &s.Listed, &s.Broken)
		all = append(all, s)
		return err
	}, `SELECT domain, day, kind, source, ip, messages, spf_ok, dkim_ok, dmarc_ok, quarantined, rejected, listed, broken FROM {source_day}
		WHERE `+withinOf("source_day")+` AND day >= $3 AND day <= $4 ORDER BY day, domain, kind, source`, domain, below(domain), int64(since), int64(until))
	return all, err
}

// InboundDomains implements store.Inbox.
func (d *DB) InboundDomains(ctx context.Context) (all []string, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		all = append(all, name)
		return err
	}, names("source_day")+" ORDER BY name")
	return all, err
}

// ChooseSource implements store.Inbox.
func (d *DB) ChooseSource(ctx context.Context, c store.SourceChoice) error {
	ours := int64(0)
	if c.Ours {
		ours = 1
	}
	_, err := d.exec(ctx, `INSERT INTO {source_choice} (domain, kind, source, ours, chosen_at, chosen_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (domain, kind, source) DO UPDATE SET ours = excluded.ours, chosen_at = excluded.chosen_at, chosen_by = excluded.chosen_by`, c.Domain, c.Kind, c.Source, ours, c.At, c.By)
	return err
}

// DropChoice implements store.Inbox.
func (d *DB) DropChoice(ctx context.Context, domain, kind, source string) (bool, error) {
	n, err := d.exec(ctx, "DELETE FROM {source_choice} WHERE domain = $1 AND kind = $2 AND source = $3", domain, kind, source)
	return n > 0, err
}

// SourceChoices implements store.Inbox. A database of an older version, opened to be read only, has none.
func (d *DB) SourceChoices(ctx context.Context) (all []store.SourceChoice, err error) {
	err = d.query(ctx, func(rows *sql.Rows) error {
		var c store.SourceChoice
		var ours int
		err := rows.Scan(&c.Domain, &c.Kind, &c.Source, &ours, &c.At, &c.By)
		c.Ours = ours != 0
		all = append(all, c)
		return err
	}, "SELECT domain, kind, source, ours, chosen_at, chosen_by FROM {source_choice} ORDER BY domain, kind, source")
	if err != nil && d.Missing(err) {
		return nil, nil
	}
	return all, err
}
