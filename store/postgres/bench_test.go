package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
	before, began := s.CPU(b), time.Now()
	spent := storetest.Fill(b, db, n)
	served, took := s.CPU(b)-before, time.Since(began)
	change(b, address, "ANALYZE")
	b.Run("Ship", func(b *testing.B) {
		size, err := db.Size(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(n)/1000, "cpu-µs/row")
		b.ReportMetric(float64(served.Nanoseconds())/float64(n)/1000, "server-cpu-µs/row")
		b.ReportMetric(float64(took.Nanoseconds())/float64(n)/1000, "µs/row")
		b.ReportMetric(float64(size)/float64(n), "octets/row")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("Search", func(b *testing.B) { storetest.Search(b, db, n) })
	b.Run("ImportSecond", func(b *testing.B) { storetest.ImportSecond(b, db) })
	b.Run("Drop", func(b *testing.B) { storetest.DropDay(b, db) })
}

// BenchmarkDay simulates a day of POSTSEAL_BENCH_ROWS verdicts in one partition, and measures what docs/explain/scale.md
// calculates a larger day from: each quarter of it, its reports, an export and a backup.
func BenchmarkDay(b *testing.B) {
	s := pgtest.Need(b, server)
	address := s.Database(b, s.Addr)
	db := open(b, address)
	defer db.Close()
	n := storetest.BenchRows()
	metric := func(name string, x float64) { b.ReportMetric(x, name) }
	perRow := func(d time.Duration, rows int) float64 { return float64(d.Nanoseconds()) / 1000 / float64(rows) }
	served, quarter := s.CPU(b), 0
	day := storetest.Day(b, db, n, func(rows int, spent time.Duration) {
		now := s.CPU(b)
		if quarter++; quarter <= 4 {
			metric(fmt.Sprintf("cpu-µs/row-%d", quarter), perRow(spent, rows))
			metric(fmt.Sprintf("server-cpu-µs/row-%d", quarter), perRow(now-served, rows))
		}
		served = now
	})
	change(b, address, "CHECKPOINT")
	size, err := db.Size(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	metric("octets/row", float64(size)/float64(n))
	metric("index-octets/row", float64(indexes(b, address))/float64(n))
	// step measures the time, and the CPU time of both ends, for each row.
	step := func(name string, f func()) {
		client, server, began := storetest.CPU(b), s.CPU(b), time.Now()
		f()
		metric(name+"-µs/row", perRow(time.Since(began), n))
		metric(name+"-cpu-µs/row", perRow(storetest.CPU(b)-client, n))
		metric(name+"-server-cpu-µs/row", perRow(s.CPU(b)-server, n))
	}
	step("close", func() {
		rows, messages := storetest.CloseDay(b, db, day)
		metric("report-rows/row", float64(rows)/float64(messages))
	})
	step("export", func() {
		if rows := storetest.Export(b, db); rows < n {
			b.Errorf("%d rows, want %d", rows, n)
		}
	})
	step("backup", func() { metric("backup-octets/row", float64(s.Backup(b, address))/float64(n)) })
	metric("ns/op", 0)
}

// indexes are the octets of the indexes of verdicts.
func indexes(b *testing.B, address string) (n int64) {
	c, err := pgx.Connect(b.Context(), address)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(b.Context(), "SELECT sum(pg_indexes_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'postseal.verdict'::regclass").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
