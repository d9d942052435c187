package ui

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// The size of the history of BenchmarkReportPages: reports are of 3 reporters a day. Records are those of the domains
// that are asked about.
const (
	benchDomains = 1000
	benchDays    = 90
	benchSources = 20
	benchAsked   = 20
)

// benchStatements fill a history: in SQL, because reading 270,000 reports takes minutes. ?1 is the last day.
var benchStatements = []string{
	`INSERT INTO source_day SELECT 'd' || d.n || '.test', ?1 - y.n, CASE WHEN s.n < 8 THEN 'dkim' ELSE 'net' END, CASE WHEN s.n < 8 THEN 's' || s.n || '.test' ELSE '10.' || s.n || '.' || (d.n % 250) || '.0/24' END,
		'10.' || s.n || '.' || (d.n % 250) || '.9', 100 + s.n, 0, CASE WHEN s.n < 12 THEN 100 ELSE 0 END, CASE WHEN s.n < 12 THEN 100 ELSE 0 END, s.n % 3, 0, 0, 0 FROM d, y, s`,
	`INSERT INTO inbound (state, kind, org, email, report_id, domain, begin_at, end_at, records, messages, warnings, meta, digest, carrier, proven, read_at)
		SELECT 'read', 'aggregate', 'rx' || r.n || '.test', 'd@rx.test', d.n || '-' || y.n || '-' || r.n, 'd' || d.n || '.test', (?1 - y.n) * 86400000, (?1 - y.n) * 86400000 + 86399000, 20, 2000, 0,
		'{"schema":"postseal.report/1","kind":"aggregate","source":"mail 4cXk1, rx.test!d.test!1!2.xml.gz","org":"rx.test","email":"d@rx.test","report_id":"1","domain":"d.test","begin":"2026-11-29T00:00:00Z","end":"2026-11-29T23:59:59Z","policy":{"p":"'
		|| CASE WHEN y.n < 40 THEN 'quarantine' ELSE 'none' END || '","adkim":"r","aspf":"r"},"rows":20,"messages":2000,"warnings":[],"records":[]}', x'00', 'rx.test dmarc=pass', 1, (?1 - y.n + 1) * 86400000 FROM y, r, d`,
	`INSERT INTO inbound_row SELECT i.id, s.n + 1, '10.' || s.n || '.1.9', 100, '{"ip":"10.' || s.n || '.1.9","count":100,"disposition":"none","dkim":"pass","spf":"fail","header_from":"' || i.domain || '","reasons":[],"auth_dkim":[{"domain":"s' || s.n || '.test","selector":"k1","result":"pass"}],"auth_spf":[{"domain":"s'
		|| s.n || '.test","result":"pass"}]}' FROM inbound i, s WHERE i.domain IN (SELECT 'd' || n || '.test' FROM d WHERE n < ?2)`,
	`INSERT INTO report SELECT ?1 - y.n, 'd' || d.n || '.test', d.n || '-' || y.n, 'f.xml.gz', x'01', CASE WHEN y.n = 0 THEN 'built' ELSE 'done' END, '', 20, 2000, 0, NULL, 0, (?1 + 1) * 86400000 FROM d, y`,
	`INSERT INTO delivery SELECT ?1 - y.n, 'd' || d.n || '.test', 'mailto:r@d' || d.n || '.test', 'r@d' || d.n || '.test', CASE WHEN d.n % 50 = 0 THEN 'failed' ELSE 'sent' END, 1, 1, 0, 0, 't' || d.n || '-' || y.n, '250 2.0.0 Ok', 1 FROM d, y WHERE y.n > 0`,
}

// benchHistory is a history of benchDomains domains, benchDays days and benchSources sources.
func benchHistory(b *testing.B) *timedStore {
	b.Helper()
	path := filepath.Join(b.TempDir(), "many.db")
	db, err := sqlite.Open(b.Context(), path, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(0)")
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	with := "WITH RECURSIVE "
	for name, n := range map[string]int{"d": benchDomains, "y": benchDays, "s": benchSources, "r": 3} {
		with += fmt.Sprintf("%s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM %s WHERE n < %d), ", name, name, n-1)
	}
	last := int64(store.DayOf(store.Millis(now)) - 1)
	for _, text := range benchStatements {
		if _, err := raw.ExecContext(b.Context(), strings.TrimSuffix(with, ", ")+" "+text, last, benchAsked); err != nil {
			b.Fatal(err, text)
		}
	}
	return &timedStore{Store: db, b: b, began: time.Now(), took: map[string]spent{}}
}

// BenchmarkReportPages is the time of the pages of reports over a large history: of the page, of its queries, and of
// what is not a query, which has a budget.
//
//	go test ./server/web/ui -run '^$' -bench ReportPages -benchtime 300x
func BenchmarkReportPages(b *testing.B) {
	db := benchHistory(b)
	h := handler(&source{db: db})
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		path func() string
	}{
		{"overview", func() string { return "/reports?all=1" }},
		{"domain", func() string { return fmt.Sprintf("/reports/d%d.test?days=90", r.IntN(benchAsked)) }},
		{"source", func() string {
			return fmt.Sprintf("/reports/d%d.test/dkim:s%d.test?days=90", r.IntN(benchAsked), r.IntN(8))
		}},
		{"received", func() string { return fmt.Sprintf("/reports/d%d.test/received?days=90", r.IntN(benchAsked)) }},
		{"report", func() string { return fmt.Sprint("/report/", 1+r.IntN(benchAsked)) }},
		{"out", func() string { return "/reports/out?days=90" }},
		{"out-failed", func() string { return "/reports/out?days=90&state=failed" }},
	} {
		b.Run(c.name, func(b *testing.B) { timePages(b, db, func() (int, string) { return open(b, h, c.path()) }) })
	}
}

// timePages opens pages, and reports the median and the 99th percentile of what they take: in time, which has a budget
// on a machine that does nothing else, and in CPU time, which says the same on one that is busy.
func timePages(b *testing.B, db *timedStore, get func() (int, string)) {
	all, queries := map[string][]time.Duration{}, map[string][]time.Duration{}
	for b.Loop() {
		clear(db.took)
		began := db.now()
		if status, body := get(); status != 200 {
			b.Fatal(status, body)
		}
		page, asked := db.now().minus(began), spent{}
		for q, took := range db.took {
			asked = asked.plus(took)
			queries[q] = append(queries[q], took.time)
		}
		rest := page.minus(asked)
		for unit, took := range map[string]time.Duration{"page": page.time, "queries": asked.time, "rest": rest.time, "page-cpu": page.cpu, "rest-cpu": rest.cpu} {
			all[unit] = append(all[unit], took)
		}
	}
	for unit, times := range all {
		b.ReportMetric(millis(times, 50), unit+"-p50-ms")
		b.ReportMetric(millis(times, 99), unit+"-p99-ms")
		b.Logf("%s: median %.1f ms, 99%% %.1f ms", unit, millis(times, 50), millis(times, 99)) // also if the budget fails
	}
	const budget = 50 // ms
	if p99 := millis(all["rest"], 99); p99 > budget {
		b.Errorf("99%% of the pages take up to %.1f ms beyond their queries, at most %d ms", p99, budget)
	}
	b.ReportMetric(0, "ns/op")
	for _, q := range slices.Sorted(maps.Keys(queries)) {
		b.Logf("%s: median %.1f ms, 99%% %.1f ms", q, millis(queries[q], 50), millis(queries[q], 99))
	}
}

// millis is a percentile.
func millis(times []time.Duration, percent int) float64 {
	slices.Sort(times)
	return float64(times[len(times)*percent/100].Microseconds()) / 1000
}

// spent is a time, and the CPU time of it.
type spent struct{ time, cpu time.Duration }

func (s spent) plus(o spent) spent  { return spent{s.time + o.time, s.cpu + o.cpu} }
func (s spent) minus(o spent) spent { return spent{s.time - o.time, s.cpu - o.cpu} }

// timedStore knows what each kind of query took.
type timedStore struct {
	store.Store
	b     *testing.B
	began time.Time
	took  map[string]spent
}

func (s *timedStore) now() spent { return spent{time.Since(s.began), storetest.CPU(s.b)} }

func (s *timedStore) since(name string, began spent) {
	s.took[name] = s.took[name].plus(s.now().minus(began))
}

func (s *timedStore) InboundDomains(ctx context.Context) ([]string, error) {
	defer s.since("InboundDomains", s.now())
	return s.Store.InboundDomains(ctx)
}

func (s *timedStore) TopSources(ctx context.Context, domain string, since, until store.Day, most int) ([]store.Source, int, error) {
	defer s.since("TopSources", s.now())
	return s.Store.TopSources(ctx, domain, since, until, most)
}

func (s *timedStore) FirstDays(ctx context.Context, domain string, of []store.SourceName) (store.Day, map[store.SourceName]store.Day, error) {
	defer s.since("FirstDays", s.now())
	return s.Store.FirstDays(ctx, domain, of)
}

func (s *timedStore) PolicyDays(ctx context.Context, domain string, most int) ([]store.PolicyDay, error) {
	defer s.since("PolicyDays", s.now())
	return s.Store.PolicyDays(ctx, domain, most)
}

func (s *timedStore) InboundTotals(ctx context.Context, f store.InboundFilter, longest int64) (store.InboundTotals, error) {
	defer s.since("InboundTotals", s.now())
	return s.Store.InboundTotals(ctx, f, longest)
}

func (s *timedStore) Reporters(ctx context.Context, f store.InboundFilter, longest int64) ([]store.Reporter, error) {
	defer s.since("Reporters", s.now())
	return s.Store.Reporters(ctx, f, longest)
}

func (s *timedStore) SourceChoices(ctx context.Context) ([]store.SourceChoice, error) {
	defer s.since("SourceChoices", s.now())
	return s.Store.SourceChoices(ctx)
}

func (s *timedStore) InboundProblems(ctx context.Context) ([]store.InboundProblem, error) {
	defer s.since("InboundProblems", s.now())
	return s.Store.InboundProblems(ctx)
}

func (s *timedStore) InboundReports(ctx context.Context, f store.InboundFilter) ([]store.Inbound, error) {
	defer s.since("InboundReports", s.now())
	return s.Store.InboundReports(ctx, f)
}

func (s *timedStore) InboundReport(ctx context.Context, id int64) (store.Inbound, bool, error) {
	defer s.since("InboundReport", s.now())
	return s.Store.InboundReport(ctx, id)
}

// InboundRows takes what the caller does with each row for a part of the page.
func (s *timedStore) InboundRows(ctx context.Context, id, n int64, limit int, f func(*store.InboundRow) error) error {
	began, elsewhere := s.now(), time.Duration(0)
	err := s.Store.InboundRows(ctx, id, n, limit, func(row *store.InboundRow) error {
		left := time.Now()
		err := f(row)
		elsewhere += time.Since(left)
		return err
	})
	took := s.now().minus(began)
	part := spent{took.time - elsewhere, time.Duration(float64(took.cpu) * float64(took.time-elsewhere) / float64(took.time))}
	s.took["InboundRows"] = s.took["InboundRows"].plus(part)
	return err
}

func (s *timedStore) Outgoing(ctx context.Context, f store.ReportFilter) ([]store.Outgoing, error) {
	defer s.since("Outgoing", s.now())
	return s.Store.Outgoing(ctx, f)
}

func (s *timedStore) Deliveries(ctx context.Context, day store.Day, domain string) ([]store.Delivery, error) {
	defer s.since("Deliveries", s.now())
	return s.Store.Deliveries(ctx, day, domain)
}

func (s *timedStore) OutgoingCounts(ctx context.Context, since store.Day) (store.OutgoingCounts, error) {
	defer s.since("OutgoingCounts", s.now())
	return s.Store.OutgoingCounts(ctx, since)
}

func (s *timedStore) FailureCounts(ctx context.Context, since store.Day) (store.OutgoingCounts, error) {
	defer s.since("FailureCounts", s.now())
	return s.Store.FailureCounts(ctx, since)
}

func (s *timedStore) Failures(ctx context.Context, f store.ReportFilter) ([]store.FailureReport, error) {
	defer s.since("Failures", s.now())
	return s.Store.Failures(ctx, f)
}
