package postgres_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// TestCopy: a history moves from SQLite to PostgreSQL with all that it holds, once, and a
// daemon continues where it stopped.
func TestCopy(t *testing.T) {
	to := open(t, migrated(t, pgtest.Need(t, server), server.Addr))
	defer to.Close()
	from, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	other := storetest.Claim(t, to, "other", "b") // slot 1 is taken there
	mx1, mx2 := storetest.Claim(t, from, "mx1", "b"), storetest.Claim(t, from, "mx2", "b")
	at := store.Millis(storetest.Now)
	storetest.Ship(t, from, &mx1, &store.Batch{Rows: storetest.Rows(1500, 3, 1), Losses: []store.Loss{{Node: "mx1", Day: store.DayOf(at), Reason: store.LossDisk, N: 7, First: at, Last: at}},
		Policies:  []store.Policy{{Hash: store.Hash{1}, Domain: "acme.test", Text: "v=DMARC1; p=none", First: at, Last: at}},
		Selectors: []store.Selector{{Domain: "acme.test", Selector: "k1", Algorithm: "rsa-sha256", Bits: 2048, Verified: true, First: at, Last: at}},
		Records:   []store.Record{{Domain: "acme.test", Name: "acme.test", Hash: store.Hash{2}, Text: "v=spf1 -all", First: at, Last: at}}})
	storetest.Ship(t, from, &mx2, &store.Batch{Rows: storetest.Rows(700, 3, 2)})
	days, err := from.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := days[len(days)-1]
	if ok, err := from.CloseDay(t.Context(), closed, at, "mx9"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	choice := store.SourceChoice{Domain: "acme.test", Kind: "dkim", Source: "bulk.test", Ours: true, At: 5, By: "ann"}
	if err := from.ChooseSource(t.Context(), choice); err != nil {
		t.Fatal(err)
	}
	if err := from.Suppress(t.Context(), store.Suppression{Target: "dead.test", Why: "550", Hits: 2, Until: at}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Copy(t.Context(), from, to, store.Time(mx1.Seen).Add(10*time.Second), func(int) {}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("while a daemon writes: %v", err)
	}
	now := time.Now().Add(time.Hour)
	for i, added := range []int{2200, 0} {
		c, err := store.Copy(t.Context(), from, to, now, func(int) {})
		if err != nil || c.Rows != 2200 || c.Added != added || c.Nodes != 2 || c.Facts != 3 {
			t.Errorf("copy %d: %+v, %v", i+1, c, err)
		}
	}
	equal(t, from, to)
	again, err := to.Claim(t.Context(), store.Node{Instance: "mx1", Boot: "next"})
	if err != nil || again.At != mx1.At || again.Slot == other.Slot {
		t.Errorf("the node goes on at %+v, %v, want %v", again, err, mx1.At)
	}
	if d, err := to.ReportDays(t.Context(), 0); err != nil || d[len(d)-1].Day != closed || d[len(d)-1].State != store.DayBuilt || d[0].State != store.DayOpen {
		t.Errorf("%+v, %v", d, err)
	}
	if list, err := to.SourceChoices(t.Context()); err != nil || len(list) != 1 || list[0] != choice {
		t.Errorf("choices %+v, %v", list, err)
	}
	if s, ok, err := to.Suppression(t.Context(), "dead.test"); err != nil || !ok || s.Hits != 2 {
		t.Errorf("%+v, %v, %v", s, ok, err)
	}
	losses, err := to.Losses(t.Context())
	if err != nil || len(losses) != 1 || losses[0].N != 7 {
		t.Errorf("%+v, %v", losses, err)
	}
}

// TestCopyAll: a history moves from SQLite to PostgreSQL with all tables that are to be copied.
func TestCopyAll(t *testing.T) {
	s := pgtest.Need(t, server)
	address, path := migrated(t, s, s.Addr), filepath.Join(t.TempDir(), "store.db")
	to := open(t, address)
	defer to.Close()
	from, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	raw := func(driver, address string) *sql.DB {
		db, err := sql.Open(driver, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	storetest.CopyAll(t, from, to, storetest.SQL{DB: raw("sqlite", "file:"+path), List: "SELECT name FROM sqlite_master WHERE type = 'table'"},
		storetest.SQL{DB: raw("pgx", address), Schema: "postseal.", List: "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'postseal'"})
}

// equal compares the rows, but for their ids and nodes, and the facts.
func equal(t *testing.T, from, to store.Store) {
	t.Helper()
	rows := func(db store.Store) map[string]store.Row {
		all := map[string]store.Row{}
		for _, r := range storetest.All(t, db) {
			if r.Node == 0 {
				t.Fatalf("a row has no node: %+v", r)
			}
			r.ID, r.Node = 0, 0
			all[r.Ref+r.QID] = r
		}
		return all
	}
	if a, b := rows(from), rows(to); !reflect.DeepEqual(a, b) {
		t.Errorf("%d and %d rows differ", len(a), len(b))
	}
	for _, f := range []func(store.Store) (any, error){
		func(db store.Store) (any, error) { return db.Policies(t.Context(), "", 10) },
		func(db store.Store) (any, error) { return db.Selectors(t.Context(), "", 10) },
		func(db store.Store) (any, error) { return db.Recent(t.Context(), 0, 10) },
	} {
		a, err := f(from)
		b, err2 := f(to)
		if err != nil || err2 != nil || !reflect.DeepEqual(a, b) || reflect.ValueOf(a).Len() != 1 {
			t.Errorf("%+v and %+v, %v, %v", a, b, err, err2)
		}
	}
}
