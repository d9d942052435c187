package storetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"postseal/store"
)

// BenchRows is how many rows benchmarks run over: 20,000, or POSTSEAL_BENCH_ROWS.
func BenchRows() int {
	if n, err := strconv.Atoi(os.Getenv("POSTSEAL_BENCH_ROWS")); err == nil && n > 0 {
		return n
	}
	return 20000
}

// benchDays is over how many days the rows of Fill go; batchRows are written at once.
const (
	benchDays = 5
	batchRows = 1000
)

// CPU is the time that this process has used.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Fill writes n rows of the five days before Now in the order of their time, as a daemon does,
// and returns the CPU time of this process that this took. The rows are of 10,000 authors and
// 60,000 clients, a few of which send much; four of five messages are accepted.
func Fill(t testing.TB, db store.Store, n int) (spent time.Duration) {
	t.Helper()
	node := Claim(t, db, "bench", "b")
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; i += batchRows {
		rows := benchRows(r, i, n)
		began := CPU(t)
		Ship(t, db, &node, &store.Batch{Rows: rows})
		spent += CPU(t) - began
	}
	return spent
}

func benchRows(r *rand.Rand, from, n int) []store.Row {
	rows := Rows(batchRows, 1, uint64(from))
	const span = benchDays * 24 * 3600e3
	for k := range rows {
		row, i := &rows[k], from+k
		row.QID, row.Ref = fmt.Sprintf("4Q%08d", i), store.RefText(int64(i)*2654435761%(1<<40))
		row.Millis = store.Millis(Now) - span + int64(i)*(span/int64(n))
		row.Author = fmt.Sprintf("a%d.test", skewed(r, 10000))
		host := skewed(r, 60000)
		row.IP = netip.AddrFrom4([4]byte{100, 64 + byte(host>>14), byte(host >> 6), byte(host << 2)})
		if r.IntN(5) > 0 {
			row.Action, row.Applied = "accept", "accept"
		}
	}
	return rows
}

// skewed is a number below n, the small ones more often.
func skewed(r *rand.Rand, n int) int {
	f := r.Float64()
	return int(f * f * f * float64(n))
}

// Searches are those of the benchmark. A number in them is another one in each run.
var benchSearches = []struct {
	name string
	text func(r *rand.Rand, n int) string
}{
	{"ref", func(r *rand.Rand, n int) string { return "ref:" + store.RefText(int64(r.IntN(n))*2654435761%(1<<40)) }},
	{"qid", func(r *rand.Rand, n int) string { return fmt.Sprintf("qid:4Q%08d", r.IntN(n)) }},
	{"author", func(r *rand.Rand, _ int) string { return fmt.Sprintf("author:a%d.test", skewed(r, 10000)) }},
	{"client", func(r *rand.Rand, _ int) string {
		host := skewed(r, 60000)
		return fmt.Sprintf("ip:100.%d.%d.%d", 64+byte(host>>14), byte(host>>6), byte(host<<2))
	}},
	{"network", func(r *rand.Rand, _ int) string { return fmt.Sprintf("ip:100.64.%d.0/24", byte(skewed(r, 60000)>>6)) }},
	{"verdict", func(r *rand.Rand, _ int) string {
		return "action:" + []string{"reject", "defer", "quarantine"}[r.IntN(3)]
	}},
	{"author and verdict", func(r *rand.Rand, _ int) string {
		return fmt.Sprintf("author:a%d.test action:reject", skewed(r, 10000))
	}},
	{"all", func(*rand.Rand, int) string { return "" }},
}

// Search measures how long a page of 50 takes that is searched for in n rows of Fill: the median
// and the slowest of a hundred.
func Search(b *testing.B, db store.Store, n int) {
	for _, s := range benchSearches {
		b.Run(s.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 4))
			var took []time.Duration
			for b.Loop() {
				q, err := store.ParseQuery(s.text(r, n), Now, Key)
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				p, err := store.Search(b.Context(), db, q, 0, 50, time.Minute)
				took = append(took, time.Since(began))
				if err != nil || len(p.Rows) == 0 && (s.name == "ref" || s.name == "qid") {
					b.Fatalf("%q: %d rows, %v", q.Text, len(p.Rows), err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// DropDay measures how long the removal of the oldest day of Fill takes.
func DropDay(b *testing.B, db store.Store) {
	days, err := db.Days(b.Context())
	if err != nil || len(days) == 0 {
		b.Fatalf("%v, %v", days, err)
	}
	began, spent := time.Now(), CPU(b)
	if err := db.Drop(b.Context(), days[len(days)-1]); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms-drop")
	b.ReportMetric(float64((CPU(b)-spent).Microseconds())/1000, "cpu-ms-drop")
}

// ImportSecond measures the import of rows that all have one time, since archives give whole seconds: a millisecond
// has 8,192 ids.
func ImportSecond(b *testing.B, db store.Store) {
	rows := Rows(min(BenchRows(), 50000), 1, 13)
	for i := range rows {
		rows[i].Millis, rows[i].Ref = store.Millis(Now.Add(time.Hour+time.Duration(b.N)*time.Second)), store.RefText(int64(b.N)<<20+int64(i)) // it is called twice
	}
	began, spent := time.Now(), CPU(b)
	for part := range slices.Chunk(rows, batchRows) {
		if n, err := db.Import(b.Context(), slices.Clone(part), &store.Batch{}); err != nil || n != len(part) {
			b.Fatalf("%d of %d rows, %v", n, len(part), err)
		}
	}
	perRow := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(len(rows)) }
	b.ReportMetric(perRow(CPU(b)-spent), "cpu-µs/row")
	b.ReportMetric(perRow(time.Since(began)), "µs/row")
	b.ReportMetric(0, "ns/op")
}

// Day is a simulated day: n rows of one day in the order of their time, each of which wants a report. After each quarter,
// quarter is called with the CPU time that this process needed for it. It returns the day.
func Day(b *testing.B, db store.Store, n int, quarter func(rows int, spent time.Duration)) store.Day {
	node := Claim(b, db, "bench", "b")
	r := rand.New(rand.NewPCG(4, 5))
	day := store.DayOf(store.Millis(Now)) - 1
	var spent time.Duration
	part, ends := 0, max(n/4, 1)
	for i := 0; i < n; i += batchRows {
		rows := benchRows(r, i, n)
		for k := range rows {
			row, author := &rows[k], skewed(r, 10000)
			row.Millis = day.Start() + int64(float64(i+k)/float64(n)*float64(day.End()-day.Start()))
			row.Author, row.Cause, row.PolicyHash = fmt.Sprintf("a%d.test", author), store.CauseReport, store.Hash{2, byte(author), byte(author >> 8)}
			row.PolicyDom, row.SPFDomain = row.Author, row.Author
		}
		began := CPU(b)
		Ship(b, db, &node, &store.Batch{Rows: rows})
		spent += CPU(b) - began
		if part += len(rows); part >= ends {
			quarter(part, spent)
			part, spent = 0, 0
		}
	}
	return day
}

// CloseDay closes a day and reads its reports, and returns how many rows they have.
func CloseDay(b *testing.B, db store.Store, day store.Day) (rows, messages int64) {
	if _, err := db.CloseDay(b.Context(), day, day.End(), ""); err != nil {
		b.Fatal(err)
	}
	if _, err := db.Reported(b.Context(), day); err != nil {
		b.Fatal(err)
	}
	if err := db.ReportRows(b.Context(), day, "", func(r *store.ReportRow) error { rows, messages = rows+1, messages+r.N; return nil }); err != nil {
		b.Fatal(err)
	}
	return rows, messages
}

// Export reads all rows in the order of their ids, as store export does.
func Export(b *testing.B, db store.Reader) (rows int) {
	for last := int64(1); ; {
		some, err := store.Newer(b.Context(), db, &store.Query{}, last, batchRows)
		if err != nil {
			b.Fatal(err)
		}
		if len(some) == 0 {
			return rows
		}
		rows, last = rows+len(some), some[len(some)-1].ID
	}
}
