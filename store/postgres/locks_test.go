package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postseal/store"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// TestReadMeanwhile: while a transaction reads the history, as pg_dump does for hours, a new day begins and others search; an
// old day is not removed, and holds up no search for long.
func TestReadMeanwhile(t *testing.T) {
	address := migrated(t, pgtest.Need(t, server), server.Addr)
	db := open(t, address)
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	rows := storetest.Rows(20, 1, 14)
	storetest.Ship(t, db, &n, &store.Batch{Rows: rows[:10]})
	days, err := db.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	dump, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dump.Exec(t.Context(), "LOCK TABLE postseal.verdict IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range rows {
		rows[i].Millis += 3 * 24 * 60 * 60 * 1000
	}
	if _, err := db.Ship(ctx, n, n.At, store.Position{Segment: 7}, &store.Batch{Rows: rows[10:]}); err != nil {
		t.Errorf("a new day: %v", err)
	}
	if err := db.Drop(ctx, days[0]); err == nil || !strings.Contains(err.Error(), "is being read") {
		t.Errorf("the removal of a day: %v", err)
	}
	if got := len(storetest.All(t, db)); got != 20 {
		t.Errorf("%d rows, want 20", got)
	}
	if err := dump.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Drop(ctx, days[0]); err != nil {
		t.Error(err)
	}
}
