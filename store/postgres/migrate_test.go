package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

func change(t testing.TB, address, statement string) {
	t.Helper()
	if err := try(t, address, statement); err != nil {
		t.Fatal(err)
	}
}

func try(t testing.TB, address, statement string) error {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	_, err = c.Exec(t.Context(), statement)
	return err
}

// TestMigrations: a schema that is newer within the major version is used as it is, by readers
// and writers; another major version is not opened, and not changed.
func TestMigrations(t *testing.T) {
	address := pgtest.Need(t, server).Database(t, server.Addr)
	open(t, address).Close()
	change(t, address, "INSERT INTO postseal.goose_db_version (version_id, is_applied) VALUES (99, true); ALTER TABLE postseal.node ADD COLUMN segments text NOT NULL DEFAULT ''; CREATE TABLE postseal.newer (x text)")
	db := open(t, address)
	n := storetest.Claim(t, db, "i", "b")
	storetest.Ship(t, db, &n, &store.Batch{Rows: storetest.Rows(10, 1, 1)})
	if i, err := db.Info(t.Context()); err != nil || i.Schema != 99 || i.Rows != 10 {
		t.Errorf("%+v, %v", i, err)
	}
	db.Close()
	change(t, address, "UPDATE postseal.meta SET value = '2' WHERE key = 'major'")
	for _, o := range []postgres.Options{{}, {ReadOnly: true}} {
		if _, err := postgres.Open(t.Context(), address, o); !errors.Is(err, store.ErrSchema) {
			t.Errorf("another major version, %+v: %v", o, err)
		}
	}
}

// TestMigrateTogether: daemons that start at the same moment make the schema once.
func TestMigrateTogether(t *testing.T) {
	address := pgtest.Need(t, server).Database(t, server.Addr)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			db, err := postgres.Open(t.Context(), address, postgres.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			n, err := db.Claim(t.Context(), store.Node{Instance: rand.Text(), Boot: "b"})
			if err != nil || n.Slot < 1 {
				t.Errorf("%+v, %v", n, err)
			}
		})
	}
	all.Wait()
	db := open(t, address)
	defer db.Close()
	if nodes, err := db.Nodes(t.Context()); err != nil || len(nodes) != 5 {
		t.Errorf("%+v, %v", nodes, err)
	}
}
