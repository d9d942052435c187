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
	// A day of an older version, which knows no hash of Message-IDs, is read, and written to.
	day := store.DayOf(store.Millis(storetest.Now)).Suffix()
	change("DROP INDEX verdict_" + day + "_mid; ALTER TABLE verdict_" + day + " DROP COLUMN mid")
	for _, o := range []sqlite.Options{{ReadOnly: true}, {}} {
		db, err = open(o)
		if err != nil {
			t.Fatal(err)
		}
		q, err := store.ParseQuery("-messageid:<1@acme.test>", storetest.Now, storetest.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Count(t.Context(), store.DayOf(store.Millis(storetest.Now)), q, 100); len(storetest.All(t, db)) != 10 || err != nil {
			t.Errorf("%+v: %d rows, %v", o, len(storetest.All(t, db)), err)
		}
		db.Close()
	}
	change("UPDATE meta SET value = '2' WHERE key = 'major'")
	for _, o := range []sqlite.Options{{}, {ReadOnly: true}} {
		if _, err := open(o); !errors.Is(err, store.ErrSchema) {
			t.Errorf("another major version, %+v: %v", o, err)
		}
	}
}
