package sqlite_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestFull: when the file reaches its bound, the oldest days go and the newest rows are stored.
// A file with one day alone takes no more, and says so: the rows wait.
func TestFull(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{MaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	batch := func(day, i int) *store.Batch {
		rows := storetest.Rows(1000, 1, uint64(100*day+i))
		for k := range rows {
			rows[k].Millis = store.Millis(storetest.Now.Add(time.Duration(day)*24*time.Hour)) + int64(k)
		}
		return &store.Batch{Rows: rows}
	}
	for day := range 10 {
		for i := range 3 {
			storetest.Ship(t, db, &n, batch(day, i))
		}
	}
	days, err := db.Days(t.Context())
	last := store.DayOf(store.Millis(storetest.Now)) + 9
	if err != nil || len(days) < 2 || len(days) > 5 || days[0] != last {
		t.Errorf("%v, %v", days, err)
	}
	if c, err := db.Count(t.Context(), last, &store.Query{}, 1e6); err != nil || c != 3000 {
		t.Errorf("the last day has %d rows, %v", c, err)
	}
	for i := range 30 {
		to := store.Position{Segment: n.At.Segment, Offset: n.At.Offset + 1}
		_, err := db.Ship(t.Context(), n, n.At, to, batch(9, 3+i))
		if err == nil {
			n.At = to
			continue
		}
		var refused *store.RefusedError
		if errors.As(err, &refused) {
			t.Errorf("rows are refused, not put off: %v", err)
		}
		if days, _ := db.Days(t.Context()); len(days) != 1 || days[0] != last {
			t.Errorf("%v are left", days)
		}
		return
	}
	t.Error("a file of 4 MiB takes 33,000 rows")
}
