package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"postseal/store"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// TestPooled: the same cases behind pgbouncer in transaction mode, the migrations included, where
// no two statements outside of a transaction need go to the same session.
func TestPooled(t *testing.T) {
	pgtest.Long(t)
	s := pgtest.Need(t, server)
	address := s.Pooled(t)
	open(t, s.Database(t, address)).Close()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, migrated(t, s, address)) })
}

// grants are the rights that the guide for several hosts gives to the daemon and to dashboards.
const grants = `
CREATE ROLE %[1]s LOGIN;
GRANT CONNECT, CREATE ON DATABASE %[2]s TO %[1]s;
CREATE ROLE %[1]s_read LOGIN;`

const reads = `
GRANT USAGE ON SCHEMA postseal TO %[1]s_read;
GRANT SELECT ON ALL TABLES IN SCHEMA postseal TO %[1]s_read;
ALTER DEFAULT PRIVILEGES FOR ROLE %[1]s IN SCHEMA postseal GRANT SELECT ON TABLES TO %[1]s_read;`

// TestRoles: a role that is not a superuser and owns no database does all that the daemon does;
// a role for dashboards reads, days that are made later included, and writes nothing.
func TestRoles(t *testing.T) {
	s := pgtest.Need(t, server)
	super := s.Database(t, s.Addr)
	name := super[strings.LastIndexByte(super, '/')+1 : strings.IndexByte(super, '?')]
	role := "role_" + name
	change(t, super, fmt.Sprintf(grants, role, name))
	address := strings.Replace(super, "postgres@", role+"@", 1)
	db := open(t, address)
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	change(t, address, fmt.Sprintf(reads, role))
	storetest.Ship(t, db, &n, &store.Batch{Rows: storetest.Rows(100, 3, 1)})
	days, err := db.Days(t.Context())
	if err != nil || len(days) < 3 {
		t.Fatalf("%v, %v", days, err)
	}
	if err := db.Drop(t.Context(), days[len(days)-1]); err != nil {
		t.Error(err)
	}
	if _, err := db.Forget(t.Context(), store.Forgotten{Domain: "a1.test"}); err != nil {
		t.Error(err)
	}
	reader := strings.Replace(super, "postgres@", role+"_read@", 1)
	change(t, reader, "SELECT at, author FROM postseal.history; SELECT * FROM postseal.node; SELECT * FROM postseal.verdict_"+days[0].Suffix())
	if err := try(t, reader, "DELETE FROM postseal.verdict"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the role for dashboards writes: %v", err)
	}
	// It has rights on all tables, and sees none of what logs in or decides about mail.
	change(t, address, "INSERT INTO postseal.secret (name, id, value, from_at) VALUES ('s', '1', 'x', 0); INSERT INTO postseal.login (id, kind, name, role, proof, began_at, seen_at) VALUES ('1', 'login', 'ann', 'admin', '1', 0, 0);"+
		"INSERT INTO postseal.member (id, name, place, version, started_at, seen_at, login) VALUES ('1', 'mx1', 'p', 'v', 0, 0, '1'); INSERT INTO postseal.config (n, state, body, author, note, made_at) VALUES (1, 'active', 'x', 'a', '', 0);"+
		"INSERT INTO postseal.work (id, kind, spec, items, made_at, used_at) VALUES ('w', 'replay', '{}', 1, 0, 0); INSERT INTO postseal.work_chunk (work, n, items) VALUES ('w', 0, '[]'); INSERT INTO postseal.work_result (work, chunk, n, body) VALUES ('w', 0, 0, 'a@b.test')")
	for _, table := range []string{"secret", "login", "member", "config", "work", "work_chunk", "work_result"} {
		if n := rows(t, reader, table); n != 0 {
			t.Errorf("the role for dashboards sees %d rows of %s", n, table)
		}
		if n := rows(t, address, table); n != 1 {
			t.Errorf("the role of the daemons sees %d rows of %s", n, table)
		}
	}
}

func rows(t *testing.T, address, table string) int {
	t.Helper()
	return number(t, address, "SELECT count(*) FROM postseal."+table)
}

func number(t *testing.T, address, query string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
