package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postseal/store"
	"postseal/store/internal/sqltext"
)

// PageStatement returns the statement of a page, for tests of its plan.
func PageStatement(day store.Day, q *store.Query, p store.Cursor) (string, []any) {
	return sqltext.Page(dialect, "postseal.verdict", day, q, p)
}

// OpenTraced opens a database in the newest schema, and tells what it is asked.
func OpenTraced(ctx context.Context, address string, trace pgx.QueryTracer) (*DB, error) {
	c, err := poolConfig(address, readers+1)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.Tracer = trace
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	d := &DB{pool: pool, days: map[store.Day]bool{}}
	d.useReports()
	return d, nil
}
