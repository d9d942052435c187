package server

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/engines"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// untilNow is a store whose rows of storetest.Fill end at the present.
type untilNow struct {
	store.Store
	by int64 // ms
}

func (s untilNow) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (store.Shipped, error) {
	for i := range b.Rows {
		b.Rows[i].Millis += s.by
	}
	return s.Store.Ship(ctx, n, from, to, b)
}

func fillUntilNow(b *testing.B, address string) {
	db, err := engines.Open(b.Context(), address, engines.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	storetest.Fill(b, untilNow{db, store.Millis(time.Now()) - store.Millis(storetest.Now)}, storetest.BenchRows())
}

// BenchmarkPages is the time of each page that reads the history, of POSTSEAL_BENCH_ROWS rows: the
// median and the 99th percentile, from the request to the last octet.
func BenchmarkPages(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchPages(b, "sqlite:"+b.TempDir()+"/store.db") })
	b.Run("PostgreSQL", func(b *testing.B) {
		s := pgtest.Begin(b)
		benchPages(b, s.Database(b, s.Addr))
	})
}

func benchPages(b *testing.B, address string) {
	fillUntilNow(b, address)
	dir := b.TempDir()
	d := run(b, listeners+"[store]\nurl = '"+address+"'\njournal_dir = '"+dir+"/journal'\n[bundles]\ndir = '"+dir+"/bundles'\n")
	n := storetest.BenchRows()
	r := rand.New(rand.NewPCG(3, 4))
	author := func() string { return fmt.Sprintf("a%d.test", int(r.Float64()*r.Float64()*r.Float64()*10000)) }
	for _, p := range []struct {
		name string
		path func() string
	}{
		{"live", func() string { return "/live" }},
		{"live all", func() string { return "/live?show=all" }},
		{"live refused", func() string { return "/live?show=reject,defer" }},
		{"live of an author", func() string { return "/live?q=author:" + author() }},
		{"search", func() string { return "/search" }},
		{"search author", func() string { return "/search?q=author:" + author() }},
		{"search author and verdict", func() string { return "/search?q=author:" + author() + "+applied:reject+since:5d" }},
		{"search network", func() string { return fmt.Sprintf("/search?q=ip:100.64.%d.0/24", r.IntN(64)) }},
		{"search reason", func() string { return "/search?q=reason:dmarc.reject" }},
		{"search folded", func() string { return "/search?q=applied:reject+fold:sender" }},
		{"search of hours", func() string { return "/search?q=since:3h" }},
		{"message", func() string { return "/v/" + store.RefText(int64(r.IntN(n))*2654435761%(1<<40)) }},
		{"reports", func() string { return "/reports" }},
		{"reports out", func() string { return "/reports/out" }},
		{"system", func() string { return "/system" }},
		{"exemptions", func() string { return "/system/exempt" }},
		{"API, verdicts", func() string { return "/v1/verdicts?q=author:" + author() }},
		{"API, attention", func() string { return "/v1/attention" }},
	} {
		b.Run(strings.ReplaceAll(p.name, " ", "-"), func(b *testing.B) {
			d.t = b
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				answer := d.ask(p.path())
				_, err := io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				took = append(took, time.Since(began))
				if err != nil || answer.StatusCode != 200 && answer.StatusCode != 404 {
					b.Fatal(answer.Status, err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}
