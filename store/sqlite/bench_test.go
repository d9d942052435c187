package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchRows is how many rows the searches run over: 20,000, or POSTSEAL_BENCH_ROWS.
func benchRows() int {
	if n, err := strconv.Atoi(os.Getenv("POSTSEAL_BENCH_ROWS")); err == nil && n > 0 {
		return n
	}
	return 20000
}

// filled is a database of n rows of five days, written in batches of 1000.
func filled(b *testing.B, n int) (db *sqlite.DB, spent time.Duration) {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	node := storetest.Claim(b, db, "i", "b")
	const batch = 1000
	for i := 0; i < n; i += batch {
		rows := storetest.Rows(batch, 5, uint64(i))
		for k := range rows {
			rows[k].QID = fmt.Sprintf("4Q%08d", i+k)
		}
		at := cpu(b)
		storetest.Ship(b, db, &node, &store.Batch{Rows: rows})
		spent += cpu(b) - at
	}
	return db, spent
}

// BenchmarkShip is the CPU time and the octets of a row, indexes included.
func BenchmarkShip(b *testing.B) {
	n := benchRows()
	for b.Loop() {
		db, spent := filled(b, n)
		size, err := db.Size(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(n)/1000, "cpu-µs/row")
		b.ReportMetric(float64(size)/float64(n), "octets/row")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkSearch is the time of a page of 50 verdicts, by what is searched for.
func BenchmarkSearch(b *testing.B) {
	db, _ := filled(b, benchRows())
	for _, text := range []string{"author:a1.test", "ip:192.0.1.3", "ip:192.0.1.0/24", "action:reject", "applied:reject", "qid:4Q00000777", "7KQ29F3M", ""} {
		q, err := store.ParseQuery(text, storetest.Now)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("q="+text, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Search(b.Context(), db, q, 0, 50, time.Minute); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
