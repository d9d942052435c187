package writer_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/spf"
	"postseal/store"
	"postseal/store/journal"
	"postseal/store/storetest"
	"postseal/store/writer"
)

// accepting is a database that costs nothing.
type accepting struct {
	store.Store
	pause time.Duration
	fails bool
}

func (a *accepting) Claim(_ context.Context, n store.Node) (store.Node, error) {
	n.Slot = 1
	return n, nil
}
func (a *accepting) Info(context.Context) (store.Info, error) { return store.Info{}, nil }
func (a *accepting) Close() error                             { return nil }
func (a *accepting) Ship(_ context.Context, _ store.Node, _, _ store.Position, b *store.Batch) (store.Shipped, error) {
	time.Sleep(a.pause)
	if a.fails {
		return store.Shipped{}, io.ErrUnexpectedEOF
	}
	return store.Shipped{Rows: len(b.Rows)}, nil
}

func begin(b *testing.B, db *accepting) *writer.Writer {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "journal")
	j, r, err := journal.Open(dir, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := writer.New(writer.Options{Journal: j, Recovered: r, Dir: dir, Name: "mx1", Log: slog.New(slog.DiscardHandler), Open: func(context.Context) (store.Store, error) { return db, nil }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.Close(ctx)
	})
	return w
}

// verdict is a usual one.
func verdict() store.Verdict {
	r := &postseal.Report{Ref: "7KQ29F3M", Helo: "out.bulk.test", ReversePath: "bounce@bulk.test", Header: nil,
		SPF:   []spf.Result{{Code: spf.Pass, Domain: "bulk.test"}},
		DKIM:  []dkim.Result{{Code: dkim.Pass, Domain: "bulk.test", Selector: "s2"}, {Code: dkim.Fail, Reason: dkim.BodyHashMismatch, Domain: "acme.test", Selector: "k1"}},
		DMARC: dmarc.Result{Code: dmarc.Pass, PolicyDomain: "acme.test", Policy: "reject", Record: "v=DMARC1; p=reject; rua=mailto:d@acme.test"}}
	r.Author.Domains = append(r.Author.Domains, "acme.test")
	return store.Verdict{Report: r, QueueID: "4XyZ12abcd", Listener: "milter", Enforce: "guarded", At: storetest.Now}
}

// BenchmarkDaemon is the CPU time of a verdict in the daemon, from the report to the batch for the
// database, without the database: row, queue, journal, and reading it back.
func BenchmarkDaemon(b *testing.B) {
	w := begin(b, &accepting{})
	v := verdict()
	before := storetest.CPU(b)
	n := int64(0)
	for b.Loop() {
		w.Add(store.FromReport(v))
		if n++; n%1000 == 0 {
			for w.Stats().Shipped+w.Stats().Lost[store.LossQueue] < n-3000 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	for w.Stats().Shipped+w.Stats().Lost[store.LossQueue] < n {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64((storetest.CPU(b)-before).Nanoseconds())/float64(n)/1000, "cpu-µs/verdict")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWait is how long a listener is held up by the history, with the database up, slow and
// gone: the slowest of a hundred, at a thousand verdicts a second.
func BenchmarkWait(b *testing.B) {
	for _, c := range []struct {
		name string
		db   *accepting
	}{{"up", &accepting{}}, {"slow", &accepting{pause: time.Second}}, {"gone", &accepting{fails: true}}} {
		b.Run(c.name, func(b *testing.B) {
			w := begin(b, c.db)
			v := verdict()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				w.Add(store.FromReport(v))
				took = append(took, time.Since(began))
				if len(took)%10 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "µs-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}
