package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestCopy: a history moves from one file to another with all tables that are to be copied.
func TestCopy(t *testing.T) {
	open := func(name string) (*sqlite.DB, storetest.SQL) {
		path := filepath.Join(t.TempDir(), name)
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { raw.Close(); db.Close() })
		return db, storetest.SQL{DB: raw, List: "SELECT name FROM sqlite_master WHERE type = 'table'"}
	}
	from, was := open("from.db")
	to, is := open("to.db")
	storetest.CopyAll(t, from, to, was, is)
}
