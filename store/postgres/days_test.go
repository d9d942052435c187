package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"postseal/store"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// owned is a database of a role that makes its tables, with a role that only writes to them, as the guide for several hosts
// says. It returns their URLs.
func owned(t *testing.T, s *pgtest.Server) (owner, writer string) {
	t.Helper()
	super := s.Database(t, s.Addr)
	name := super[strings.LastIndexByte(super, '/')+1 : strings.IndexByte(super, '?')]
	role := "role_" + name
	change(t, super, fmt.Sprintf(grants, role, name))
	owner = strings.Replace(super, "postgres@", role+"@", 1)
	open(t, owner).Close()
	change(t, super, fmt.Sprintf("CREATE ROLE %s_writer LOGIN", role))
	change(t, owner, strings.NewReplacer("postseal_writer", role+"_writer", "FOR ROLE postseal", "FOR ROLE "+role).Replace(pgtest.Writes))
	return owner, strings.Replace(super, "postgres@", role+"_writer@", 1)
}

// TestMakeAhead: the partitions of coming days are not among the days of the history before they have rows. Those of days that are over
// and had none go, others stay.
func TestMakeAhead(t *testing.T) {
	address := migrated(t, pgtest.Need(t, server), server.Addr)
	db := open(t, address)
	defer db.Close()
	today := store.DayOf(store.Millis(storetest.Now))
	partitions := func() int {
		t.Helper()
		return number(t, address, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'postseal.verdict'::regclass")
	}
	ahead := func(day store.Day) {
		t.Helper()
		for range 2 { // the second finds nothing to do
			if err := db.MakeAhead(t.Context(), day, store.DaysAhead); err != nil {
				t.Fatal(err)
			}
		}
	}
	ahead(today)
	days, err := db.Days(t.Context())
	reported, err2 := db.ReportDays(t.Context(), 0)
	if len(days)+len(reported) != 0 || err != nil || err2 != nil {
		t.Errorf("days without rows: %v, %v, %v, %v", days, reported, err, err2)
	}
	n := storetest.Claim(t, db, "i", "b")
	of := storetest.Rows(10, 1, 1)
	for i := range of {
		of[i].Millis = store.Millis(storetest.Now)
	}
	storetest.Ship(t, db, &n, &store.Batch{Rows: of})
	if days, err := db.Days(t.Context()); err != nil || len(days) != 1 || days[0] != today {
		t.Errorf("days with rows: %v, %v", days, err)
	}
	if got := partitions(); got != 4 {
		t.Errorf("%d partitions, want 4", got)
	}
	ahead(today + 30)
	if got := partitions(); got != 5 { // that with rows, and four new ones
		t.Errorf("%d partitions a month later, want 5", got)
	}
	if got := len(storetest.All(t, db)); got != 10 {
		t.Errorf("%d rows, want 10", got)
	}
}

// TestWriterGuide: the guide gives the rights that the tests use.
func TestWriterGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/howto/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), strings.TrimSpace(pgtest.Writes)) {
		t.Error("docs/howto/fleet.md has other statements than pgtest.Writes")
	}
}

// TestWriterRole: a role that may not make tables writes to the partitions that there are. A batch for a day that has none
// stays where it is until a role that may make it has done so.
func TestWriterRole(t *testing.T) {
	owner, writer := owned(t, pgtest.Need(t, server))
	may, db := open(t, owner), open(t, writer)
	defer may.Close()
	defer db.Close()
	for want, x := range map[bool]store.Store{true: may, false: db} {
		if tends, err := x.Tends(t.Context()); err != nil || tends != want {
			t.Errorf("tends: %v, %v, want %v", tends, err, want)
		}
	}
	n := storetest.Claim(t, db, "i", "b")
	all := storetest.Rows(20, 2, 1) // of two days
	to := store.Position{Segment: 1, Offset: 100}
	_, err := db.Ship(t.Context(), n, n.At, to, &store.Batch{Rows: all})
	var refused *store.RefusedError
	if err == nil || errors.As(err, &refused) {
		t.Fatalf("without a partition: %v", err)
	}
	if err := db.MakeAhead(t.Context(), store.DayOf(all[0].Millis), 0); err == nil {
		t.Error("the role makes a partition")
	}
	for i := range all {
		if err := may.MakeAhead(t.Context(), store.DayOf(all[i].Millis), 0); err != nil {
			t.Fatal(err)
		}
	}
	if shipped, err := db.Ship(t.Context(), n, n.At, to, &store.Batch{Rows: all}); err != nil || shipped.Rows != 20 {
		t.Errorf("%+v, %v", shipped, err)
	}
	if got := len(storetest.All(t, db)); got != 20 {
		t.Errorf("%d rows, want 20", got)
	}
	change(t, owner, "INSERT INTO postseal.secret (name, id, value, from_at) VALUES ('s', '1', 'x', 0)")
	if got := rows(t, writer, "secret"); got != 1 {
		t.Errorf("the writer sees %d shared keys, want 1", got)
	}
}
