package postgres_test

import (
	"testing"

	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// BenchmarkStore writes POSTSEAL_BENCH_ROWS rows, and measures the CPU time of the client and of
// the server and the octets of a row, pages of 50 by what is searched for, and the removal of a
// day.
func BenchmarkStore(b *testing.B) {
	s := pgtest.Need(b, server)
	address := s.Database(b, s.Addr)
	db := open(b, address)
	defer db.Close()
	n := storetest.BenchRows()
	before := s.CPU(b)
	spent := storetest.Fill(b, db, n)
	served := s.CPU(b) - before
	change(b, address, "ANALYZE")
	b.Run("Ship", func(b *testing.B) {
		size, err := db.Size(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(n)/1000, "cpu-µs/row")
		b.ReportMetric(float64(served.Nanoseconds())/float64(n)/1000, "server-cpu-µs/row")
		b.ReportMetric(float64(size)/float64(n), "octets/row")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("Search", func(b *testing.B) { storetest.Search(b, db, n) })
	b.Run("Drop", func(b *testing.B) { storetest.DropDay(b, db) })
}
