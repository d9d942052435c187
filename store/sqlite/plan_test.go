package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"postseal/store"
	"postseal/store/internal/sqltext"
	"postseal/store/storetest"
)

// TestPlans: each indexed search uses its index, the partial one included.
func TestPlans(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.Fill(t, db, 20000)
	storetest.Plans(t, db, func(day store.Day, q *store.Query, p store.Cursor) string {
		statement, args := sqltext.Page(dialect, table(day), day, q, p)
		return planOf(t, db, statement, args)
	})
}

// planOf is what SQLite says of a statement.
func planOf(t *testing.T, db *DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var a, b, c int
		var line string
		if err := rows.Scan(&a, &b, &c, &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// TestReportPlans: the queries of the pages of reports go through an index, not through a whole table.
func TestReportPlans(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.FillReports(t, db)
	for _, q := range db.Planned("plan.test", storetest.PlanDay()) {
		plan := planOf(t, db, q.Text, q.Args)
		if !strings.Contains(plan, q.Index) {
			t.Errorf("%s does not use %s:\n%s", q.Name, q.Index, plan)
		}
		for line := range strings.SplitSeq(plan, "\n") {
			for _, whole := range []string{"SCAN s", "SCAN source_day", "SCAN inbound", "SCAN delivery", "SCAN x"} {
				if strings.TrimSpace(line) == whole || strings.HasPrefix(strings.TrimSpace(line), whole+" USING") {
					t.Errorf("%s reads a whole table:\n%s", q.Name, plan)
				}
			}
		}
	}
}
