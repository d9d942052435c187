package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// readOnlyTransaction is the SQLSTATE of a write on a replica, or with default_transaction_read_only.
const readOnlyTransaction = "25006"

// TestReadOnly: a database that takes no writes, as a replica, is opened and searched at once, also by what would write; what
// writes is told so at once, and no batch is refused for it, so its rows wait for a database that takes them.
func TestReadOnly(t *testing.T) {
	address := migrated(t, pgtest.Need(t, server), server.Addr)
	db := open(t, address)
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	rows := storetest.Rows(20, 1, 1)
	storetest.Ship(t, db, &n, &store.Batch{Rows: rows[:10]})
	began := time.Now()
	replica := open(t, address+"&default_transaction_read_only=on")
	defer replica.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was opened after %v", took)
	}
	if got := len(storetest.All(t, replica)); got != 10 {
		t.Errorf("%d rows, want 10", got)
	}
	if tends, err := replica.Tends(t.Context()); err != nil || tends {
		t.Errorf("it may make and remove days: %v, %v", tends, err)
	}
	reads := map[string]func(context.Context) error{
		"info":  func(ctx context.Context) error { _, err := replica.Info(ctx); return err },
		"nodes": func(ctx context.Context) error { _, err := replica.Nodes(ctx); return err },
		"check": func(ctx context.Context) error { _, err := replica.Check(ctx); return err },
		"days":  func(ctx context.Context) error { _, err := replica.ReportDays(ctx, 0); return err },
	}
	for what, f := range reads {
		if err := f(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var refused *store.RefusedError
	writes := map[string]func(context.Context) error{
		"claim": func(ctx context.Context) error { _, err := replica.Claim(ctx, n); return err },
		"ship": func(ctx context.Context) error {
			_, err := replica.Ship(ctx, n, n.At, store.Position{Segment: 9}, &store.Batch{Rows: rows[10:]})
			return err
		},
		"ahead": func(ctx context.Context) error { return replica.MakeAhead(ctx, store.DayOf(rows[0].Millis)+30, 1) },
		"trim":  func(ctx context.Context) error { return replica.Trim(ctx, 0, 1) },
	}
	for what, f := range writes {
		var e *pgconn.PgError
		if err := f(t.Context()); !errors.As(err, &e) || e.Code != readOnlyTransaction || errors.As(err, &refused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	change(t, address, "DELETE FROM postseal.goose_db_version WHERE version_id = (SELECT max(version_id) FROM postseal.goose_db_version)")
	if _, err := postgres.Open(t.Context(), address+"&default_transaction_read_only=on", postgres.Options{}); err == nil || !strings.Contains(err.Error(), "takes no writes") {
		t.Errorf("an older schema: %v", err)
	}
}
