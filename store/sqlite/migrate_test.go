package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestMigrations: a schema that is newer within the major version is used as it is, by readers
// and writers; another major version is not opened, and not changed.
func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open := func(o sqlite.Options) (*sqlite.DB, error) { return sqlite.Open(t.Context(), path, o) }
	change := func(statement string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	db, err := open(sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	change("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1); ALTER TABLE node ADD COLUMN segments TEXT NOT NULL DEFAULT ''; CREATE TABLE newer (x TEXT) STRICT")
	db, err = open(sqlite.Options{})
	if err != nil {
		t.Fatalf("a newer schema: %v", err)
	}
	n := storetest.Claim(t, db, "i", "b")
	storetest.Ship(t, db, &n, &store.Batch{Rows: storetest.Rows(10, 1, 1)})
	if i, err := db.Info(t.Context()); err != nil || i.Schema != 99 || i.Rows != 10 {
		t.Errorf("%+v, %v", i, err)
	}
	db.Close()
	change("UPDATE meta SET value = '2' WHERE key = 'major'")
	for _, o := range []sqlite.Options{{}, {ReadOnly: true}} {
		if _, err := open(o); !errors.Is(err, store.ErrSchema) {
			t.Errorf("another major version, %+v: %v", o, err)
		}
	}
}
