package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// TestPlans: each indexed search uses its index, and looks at no other day.
func TestPlans(t *testing.T) {
	s := pgtest.Need(t, server)
	address := s.Database(t, s.Addr)
	db := open(t, address)
	defer db.Close()
	storetest.Fill(t, db, 20000)
	change(t, address, "ANALYZE")
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	storetest.Plans(t, db, func(day store.Day, q *store.Query, p store.Cursor) string {
		statement, args := postgres.PageStatement(day, q, p)
		rows, err := c.Query(t.Context(), "EXPLAIN "+statement, append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		if other := "verdict_" + (day - 1).Suffix(); strings.Contains(plan, other) {
			t.Errorf("%q looks at another day:\n%s", q.Text, plan)
		}
		return plan
	})
}

// TestReportPlans: the queries of the pages of reports go through an index, not through a whole table.
func TestReportPlans(t *testing.T) {
	s := pgtest.Need(t, server)
	address := migrated(t, s, s.Addr)
	db := open(t, address)
	defer db.Close()
	storetest.FillReports(t, db)
	change(t, address, "VACUUM ANALYZE")
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "SET enable_seqscan = off"); err != nil { // these tables are small enough to be read whole
		t.Fatal(err)
	}
	for _, q := range db.Planned("plan.test", storetest.PlanDay()) {
		rows, err := c.Query(t.Context(), "EXPLAIN "+q.Text, append([]any{pgx.QueryExecModeExec}, q.Args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(q.Name, err)
		}
		plan := strings.Join(lines, "\n")
		if !strings.Contains(plan, q.Index) || strings.Contains(plan, "Seq Scan on source_day") || strings.Contains(plan, "Seq Scan on inbound") {
			t.Errorf("%s does not use %s:\n%s", q.Name, q.Index, plan)
		}
	}
}
