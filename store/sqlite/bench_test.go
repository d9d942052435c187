package sqlite_test

import (
	"path/filepath"
	"testing"

	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// BenchmarkStore writes POSTSEAL_BENCH_ROWS rows, and measures the CPU time and the octets of a
// row, pages of 50 by what is searched for, and the removal of a day.
func BenchmarkStore(b *testing.B) {
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	n := storetest.BenchRows()
	spent := storetest.Fill(b, db, n)
	b.Run("Ship", func(b *testing.B) {
		size, err := db.Size(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(n)/1000, "cpu-µs/row")
		b.ReportMetric(float64(size)/float64(n), "octets/row")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("Search", func(b *testing.B) { storetest.Search(b, db, n) })
	b.Run("ImportSecond", func(b *testing.B) { storetest.ImportSecond(b, db) })
	b.Run("Drop", func(b *testing.B) { storetest.DropDay(b, db) })
}
