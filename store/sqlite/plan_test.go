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
	})
}
