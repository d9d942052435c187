package postgres

import (
	"postseal/store"
	"postseal/store/internal/sqltext"
)

// PageStatement returns the statement of a page, for tests of its plan.
func PageStatement(day store.Day, q *store.Query, p store.Cursor) (string, []any) {
	return sqltext.Page(dialect, "postseal.verdict", day, q, p)
}
