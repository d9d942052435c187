package postgres_test

import (
	"os"
	"testing"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &server)) }

func open(t testing.TB, address string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// migrated is its own database in the newest schema, without the time to make that.
func migrated(t testing.TB, s *pgtest.Server, addr string) string {
	t.Helper()
	return s.Prepared(t, addr, func(address string) { open(t, address).Close() })
}

func TestConformance(t *testing.T) {
	s := pgtest.Need(t, server)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, migrated(t, s, s.Addr)) })
}
