package storetest

import (
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/store"
)

// SQL reads the tables of a database as they are.
type SQL struct {
	DB     *sql.DB
	Schema string // "" or "postseal."
	List   string // the statement for the names of tables
}

// names lists the tables; the days of verdicts are the one table verdict.
func (d *SQL) names(t *testing.T) (all []string) {
	t.Helper()
	for _, row := range d.query(t, d.List) {
		if name := slices.Collect(maps.Values(row))[0]; !strings.HasPrefix(name, "verdict") {
			all = append(all, name)
		}
	}
	return append(all, "verdict")
}

// rows returns the rows of a table.
func (d *SQL) rows(t *testing.T, table string) (all []map[string]string) {
	t.Helper()
	if table != "verdict" || d.Schema != "" {
		return d.query(t, "SELECT * FROM "+d.Schema+table)
	}
	for _, row := range d.query(t, d.List) {
		if name := row["name"]; strings.HasPrefix(name, "verdict") {
			all = append(all, d.query(t, "SELECT * FROM "+name)...)
		}
	}
	return all
}

// query returns rows by column, in a form that both engines share.
func (d *SQL) query(t *testing.T, text string) (all []map[string]string) {
	t.Helper()
	rows, err := d.DB.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for i, name := range columns {
			row[name] = plain(values[i])
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// plain is a value in a form that both engines share: SQLite has no booleans and no addresses.
func plain(v any) string {
	switch v := v.(type) {
	case bool:
		return map[bool]string{true: "1", false: "0"}[v]
	case []byte:
		return fmt.Sprintf("%x", v)
	case string:
		address, _, _ := strings.Cut(v, "/")
		if ip, err := netip.ParseAddr(address); err == nil && (address == v || strings.HasSuffix(v, "/32") || strings.HasSuffix(v, "/128")) {
			return fmt.Sprintf("%x", ip.AsSlice())
		}
	}
	return fmt.Sprint(v)
}

// copied says for each table which columns store.Copy gives new values. A table that is not in it or in left has no
// decision yet: what it holds would be lost without a word.
var copied = map[string][]string{
	"verdict": {"id", "node", "late"}, "node": {"slot", "boot", "seen_at"}, "inbound": {"id"}, "inbound_row": {"inbound"}, "inbound_problem": {"id"}, "report_day": {"late"},
	"policy": nil, "selector": nil, "record": nil, "loss": nil, "suppression": nil, "source_choice": nil, "source_day": nil,
}

// left says why store.Copy leaves a table out.
var left = map[string]string{
	"meta": "each database has its own name", "goose_db_version": "the schema is that of the program", "goose_lock": "as goose_db_version", "sqlite_sequence": "of SQLite",
	"day_info": "addresses that are reduced are copied so", "report": "the old database sends its reports, or no one does: they would be sent twice",
	"delivery": "as report", "failure_report": "as report", "failure_sent": "limits of a day, about reports of the old database", "domain_seen": "the reports of the next day learn it",
	"member": "hosts enroll again", "secret": "hosts share it as they enroll", "login": "people log in again", "config": "it is pushed again", "lease": "of processes that run", "work": "of processes that run", "work_chunk": "as work",
	"work_result": "as work", "notice": "of alarms, of hosts that share PostgreSQL", "watched": "SQLite has no watch list: it is a file",
}

// CopyAll fills every table of a database, copies it twice, and compares each table that is to be copied. A table without
// a row or without a decision fails.
func CopyAll(t *testing.T, from, to store.Store, was, is SQL) {
	fillTables(t, from)
	for range 2 { // the second adds nothing
		if _, err := store.Copy(t.Context(), from, to, time.Now().Add(time.Hour), func(int) {}); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range slices.Concat(was.names(t), is.names(t)) {
		if _, moved := copied[table]; moved == (left[table] != "") {
			t.Errorf("whether store.Copy brings the table %s is not decided", table)
		}
	}
	for _, table := range was.names(t) {
		if len(was.rows(t, table)) == 0 {
			t.Errorf("the table %s is empty: the case says nothing about it", table)
		}
	}
	for table, fresh := range copied {
		a, b := lines(was.rows(t, table), fresh), lines(is.rows(t, table), fresh)
		if len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%s: %d rows became %d\n%s\n\n%s", table, len(a), len(b), strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// lines are rows without some columns, in an order of their own.
func lines(rows []map[string]string, without []string) []string {
	var all []string
	for _, row := range rows {
		var parts []string
		for _, column := range slices.Sorted(maps.Keys(row)) {
			if !slices.Contains(without, column) {
				parts = append(parts, column+"="+row[column])
			}
		}
		all = append(all, strings.Join(parts, " "))
	}
	slices.Sort(all)
	return all
}

// fillTables writes at least one row into each table of one host.
func fillTables(t *testing.T, db store.Store) {
	t.Helper()
	ctx, at := t.Context(), theDay.Start()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, policies := ReportRows(theDay)
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Rows: rows, Policies: policies, Losses: []store.Loss{{Node: "mx1", Day: theDay, Reason: store.LossDisk, N: 7, First: at, Last: at}},
		Selectors: []store.Selector{{Domain: "acme.test", Selector: "k1", Algorithm: "rsa-sha256", Bits: 2048, Verified: true, First: at, Last: at}},
		Records:   []store.Record{{Domain: "acme.test", Name: "acme.test", Hash: store.Hash{2}, Text: "v=spf1 -all", First: at, Last: at}}})
	_, err := db.CloseDay(ctx, theDay, 5, "mx9")
	must(err)
	must(db.AddReports(ctx, []store.Outgoing{{Day: theDay, Domain: "acme.test", ID: "r1", File: "f", State: store.ReportBuilt, Body: []byte("x")}}))
	must(db.DayBuilt(ctx, theDay, 5))
	must(db.SealReport(ctx, theDay, "acme.test", "", []store.Delivery{{URI: "mailto:d@acme.test", Address: "d@acme.test", State: store.DeliveryDue, NextAt: 1, Token: "t1"}}))
	_, err = db.QueueFailure(ctx, store.FailureLimit{Domain: "acme.test", Kind: "a", At: at, Most: 1, Every: time.Hour, Waiting: 9}, []store.FailureReport{failureTo("acme.test", "tf", at)})
	must(err)
	must(db.Suppress(ctx, store.Suppression{Target: "dead.test", Why: "550", Hits: 2, Until: at}))
	must(db.SawOK(ctx, []string{"acme.test"}, at))
	must(db.Mask(ctx, theDay, "net"))
	must(db.ChooseSource(ctx, store.SourceChoice{Domain: "acme.test", Kind: "dkim", Source: "bulk.test", Ours: true, At: 5, By: "ann"}))
	must(db.NoteProblems(ctx, []store.InboundProblem{{At: at, Result: "refused", Why: "not XML", Source: "mail 1"}, {At: at, Result: "refused", Why: "not XML", Source: "mail 1"}, {At: at + 1, Result: "known", Org: "rx.test", Domain: "acme.test", ReportID: "1"}}))
	fillInbox(t, db)
}

// fillInbox adds reports of others: two that count for the same source, and one that does not count.
func fillInbox(t *testing.T, db store.Store) {
	t.Helper()
	for i, proven := range []bool{true, true, false} {
		id, err := db.BeginInbound(t.Context(), theDay.End()+int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.AddInboundRows(t.Context(), id, []store.InboundRow{{N: 1, IP: "192.0.2.1", Messages: 3, Record: "{}"}, {N: 2, IP: "192.0.2.2", Messages: 4, Record: "{}"}}); err != nil {
			t.Fatal(err)
		}
		var sources []store.Source
		if proven {
			sources = []store.Source{{Domain: "acme.test", Day: theDay, Kind: "net", Source: "192.0.2.0/24", IP: "192.0.2.1", Messages: 7, SPF: 1, DKIM: 2, DMARC: 3, Quarantined: 4, Rejected: 5, Listed: 6, Broken: 7},
				{Domain: "news.acme.test", Day: theDay, Kind: "dkim", Source: "bulk.test", IP: "192.0.2.1", Messages: 7}}
		}
		r := store.Inbound{Kind: "aggregate", Org: "rx.test", Email: "d@rx.test", ReportID: fmt.Sprint(i), Domain: "acme.test", Begin: theDay.Start(), End: theDay.End() - 1, Records: 2, Messages: 7, Warnings: 1,
			Meta: "{}", Digest: [16]byte{byte(i)}, Carrier: "rx.test dmarc=pass", Proven: proven}
		if _, err := db.EndInbound(t.Context(), id, r, sources); err != nil {
			t.Fatal(err)
		}
	}
}
