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
