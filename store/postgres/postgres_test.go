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

func open(t *testing.T, address string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConformance(t *testing.T) {
	s := pgtest.Need(t, server)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, s.Database(t, s.Addr)) })
}
