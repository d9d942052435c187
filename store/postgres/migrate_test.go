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
// and writers; another major version is not opened, and not changed, by a process that runs neither.
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
	change(t, address, "UPDATE postseal.meta SET value = '2' WHERE key = 'major'") // by another host, while this one runs
	if _, err := db.Ship(t.Context(), n, n.At, store.Position{Segment: 9}, &store.Batch{Rows: storetest.Rows(10, 1, 2)}); !errors.Is(err, store.ErrSchema) {
		t.Errorf("a batch for another major version: %v", err)
	}
	change(t, address, "UPDATE postseal.meta SET value = '1' WHERE key = 'major'")
	if i, err := db.Info(t.Context()); err != nil || i.Rows != 10 {
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
