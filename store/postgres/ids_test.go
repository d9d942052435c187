package postgres_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// questions counts the statements that a database is asked.
type questions struct{ n atomic.Int64 }

func (q *questions) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	q.n.Add(1)
	return ctx
}

func (q *questions) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (q *questions) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (q *questions) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { q.n.Add(1) }

func (q *questions) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestFullMilliseconds: an import of many rows of one second does not try the ids that are taken one by one.
func TestFullMilliseconds(t *testing.T) {
	asked := &questions{}
	db, err := postgres.OpenTraced(t.Context(), migrated(t, pgtest.Need(t, server), server.Addr), asked)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const batch = 1000
	rows := storetest.Rows(2*store.MaxSeq+3*batch, 1, 11)
	for i := range rows {
		rows[i].Millis, rows[i].Ref = store.Millis(storetest.Now), store.RefText(int64(i))
	}
	before := asked.n.Load()
	batches := int64(0)
	for part := range slices.Chunk(rows, batch) {
		if n, err := db.Import(t.Context(), slices.Clone(part), &store.Batch{}); n != len(part) || err != nil {
			t.Fatalf("%d rows of %d, %v", n, len(part), err)
		}
		batches++
	}
	if n := asked.n.Load() - before; n > 15*batches {
		t.Errorf("%d statements for %d batches", n, batches)
	} else {
		t.Logf("%d statements for %d rows", n, len(rows))
	}
}

// TestTwoImports: two processes that import the same archive at the same time, and another one with the same times, store
// each row once. Both begin with the same ids.
func TestTwoImports(t *testing.T) {
	address := migrated(t, pgtest.Need(t, server), server.Addr)
	rows := storetest.Rows(2000, 1, 12)
	for i := range rows {
		rows[i].Millis, rows[i].Ref = store.Millis(storetest.Now)+int64(i%500), store.RefText(int64(i))
	}
	var added atomic.Int64
	var importers sync.WaitGroup
	for _, part := range [][]store.Row{rows[:1000], rows[:1000], rows[1000:]} {
		db := open(t, address)
		defer db.Close()
		importers.Go(func() {
			for some := range slices.Chunk(slices.Clone(part), 100) {
				n, err := db.Import(t.Context(), some, &store.Batch{})
				if err != nil {
					t.Error(err)
				}
				added.Add(int64(n))
			}
		})
	}
	importers.Wait()
	db := open(t, address)
	defer db.Close()
	ids := map[int64]bool{}
	for _, r := range storetest.All(t, db) {
		ids[r.ID] = true
	}
	if n := int(added.Load()); n != len(rows) || len(ids) != n {
		t.Errorf("%d rows were added, with %d ids, want %d", n, len(ids), len(rows))
	}
}
