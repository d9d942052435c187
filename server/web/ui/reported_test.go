package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"postseal/internal/app/outbox"
	"postseal/report"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/store"
	"postseal/store/sqlite"
)

// reportZone is the DNS of the pages of reports.
const reportZone = `
_dmarc.shop.example. 60 TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example"
shop.example. 60 TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all"
9.100.51.198.in-addr.arpa. 60 PTR out9.mailer.example.
out9.mailer.example. 60 A 198.51.100.9
1.2.0.192.in-addr.arpa. 60 PTR not.bulk.test.
_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject; rua=mailto:d@acme.test"
`

// unlistedZone has an SPF record that does not list the network that fails.
var unlistedZone = strings.Replace(reportZone, " ip4:198.51.100.0/24", "", 1)

// Resolver implements Source.
func (s *source) Resolver() resolver.Resolver {
	zone, err := dnstest.Parse(cmp.Or(s.zone, reportZone))
	if err != nil {
		panic(err)
	}
	return zone
}

// Reporting implements Source: nothing is sent.
func (s *source) Reporting() (Reporting, error) {
	db, ok := s.db.(store.Store)
	if !ok {
		return Reporting{}, errDisk
	}
	return Reporting{Sender: previewing(db, s.Resolver()), Window: "00:30-06:00"}, nil
}

func previewing(db store.Store, r resolver.Resolver) *outbox.Sender {
	return &outbox.Sender{Builder: outbox.Builder{DB: db, Who: outbox.Who{From: "reports@mx.example.net", Org: "mx.example.net"}, Now: (&source{}).Now, MinMessages: 1}, Resolver: r}
}

// Reporting implements Source: with a store that is in the state.
func (s *inState) Reporting() (Reporting, error) {
	switch s.state {
	case "slow":
		return Reporting{Sender: previewing(slowStore{}, s.Resolver())}, nil
	case "failed":
		return Reporting{Sender: previewing(brokenStore{}, s.Resolver())}, nil
	}
	return s.source.Reporting()
}

// records are those of a report of one day; the last is hostile.
func records(n int64) []report.Record {
	ip := netip.MustParseAddr
	pass := func(name string) []report.DKIMAuth {
		return []report.DKIMAuth{{Domain: name, Selector: "s1", Result: "pass"}}
	}
	return []report.Record{
		{IP: ip("192.0.2.1"), Count: n - 3, Disposition: "none", DKIM: "pass", SPF: "fail", HeaderFrom: "shop.example", EnvelopeFrom: "bounce.bulk.test", AuthDKIM: append(pass("shop.example"), pass("bulk.test")...), AuthSPF: []report.SPFAuth{{Domain: "bounce.bulk.test", Result: "pass"}}},
		{IP: ip("192.0.2.25"), Count: 200, Disposition: "none", DKIM: "pass", SPF: "pass", HeaderFrom: "shop.example", AuthDKIM: pass("shop.example"), AuthSPF: []report.SPFAuth{{Domain: "shop.example", Result: "pass"}}},
		{IP: ip("198.51.100.9"), Count: 36, Disposition: "quarantine", DKIM: "fail", SPF: "fail", HeaderFrom: "shop.example", Reasons: []report.Override{{Type: "other", Comment: hostile}}, AuthSPF: []report.SPFAuth{{Domain: "mailer.example", Result: "softfail"}}},
	}
}

// addReport keeps a report as the reader of reports does.
func addReport(t testing.TB, db *sqlite.DB, r *report.Report, list []report.Record, in store.Inbound, sources []store.Source) {
	t.Helper()
	id, err := db.BeginInbound(t.Context(), store.Millis(now))
	if err != nil {
		t.Fatal(err)
	}
	var rows []store.InboundRow
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, store.InboundRow{N: int64(i + 1), IP: list[i].IP.String(), Messages: list[i].Count, Record: string(text)})
	}
	if err := db.AddInboundRows(t.Context(), id, rows); err != nil {
		t.Fatal(err)
	}
	var meta bytes.Buffer
	if err := r.WriteJSON(&meta, nil); err != nil {
		t.Fatal(err)
	}
	in.Kind, in.Org, in.ReportID, in.Domain, in.Begin, in.End, in.Records, in.Messages, in.Meta, in.ReadAt = string(r.Kind), r.Org, r.ID, r.Domain, store.Millis(r.Begin), store.Millis(r.End), int64(len(list)), r.Messages, meta.String(), store.Millis(now)
	if in.Kind == "failure" {
		in.Begin, in.End = store.Millis(now), store.Millis(now)
	}
	if _, err := db.EndInbound(t.Context(), id, in, sources); err != nil {
		t.Fatal(err)
	}
}

// reported is a history with reports of 30 days about a domain, the newest is number 30; with one that is not proven,
// one about a message, and two that were not kept.
func reported(t testing.TB) store.Reader {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "reported.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	today := store.DayOf(store.Millis(now))
	const days = 30
	for k := range days {
		i := days - 1 - k
		day := today - store.Day(i+1)
		n := int64(1700 - 900*(i%7/5) + 13*i%50)
		sources := []store.Source{{Domain: "shop.example", Day: day, Kind: "dkim", Source: "bulk.test", IP: "192.0.2.1", Messages: n, DKIM: n - 3, DMARC: n - 3},
			{Domain: "shop.example", Day: day, Kind: "net", Source: "192.0.2.0/24", IP: "192.0.2.25", Messages: 200, SPF: 200, DKIM: 200, DMARC: 200},
			{Domain: "shop.example", Day: day, Kind: "net", Source: "198.51.100.0/24", IP: "198.51.100.9", Messages: 36, Quarantined: 36}}
		if i == 8 {
			sources = append(sources, store.Source{Domain: "shop.example", Day: day, Kind: "net", Source: "203.0.113.0/24", IP: "203.0.113.9", Messages: 190, Quarantined: 189})
		}
		r := &report.Report{Kind: report.Aggregate, Source: "mail 4cXk1, report.xml.gz", Org: []string{"bigmail.test", "bigmail.test", "rx.test"}[i%3], Email: "dmarc@bigmail.test", ID: fmt.Sprint(i), Domain: "shop.example", Begin: store.Time(day.Start()), End: store.Time(day.End() - 1000),
			Published: report.Published{P: map[bool]string{true: "none", false: "quarantine"}[k < 9], ADKIM: "r"}, Rows: 3, Messages: n + 236, Warnings: []report.Warning{{Fault: "source-ip", Detail: "an odd address", Value: hostile}}}
		addReport(t, db, r, records(n), store.Inbound{Proven: true, Warnings: 1}, sources)
	}
	begin := store.Time((today - 2).Start())
	addReport(t, db, &report.Report{Kind: report.Aggregate, Org: store.Clean(hostile), ID: hostile, Domain: "shop.example", Begin: begin, End: begin.AddDate(0, 0, 1)}, nil, store.Inbound{Carrier: "stranger.test dmarc=fail"}, nil)
	addReport(t, db, &report.Report{Kind: report.Failure, Org: "Lua/1.0", ID: "x", Domain: "shop.example", Messages: 1, Feedback: map[string]string{"original_mail_from": "secretperson@shop.example", "source_ip": "203.0.113.9", "message_id": hostile}}, nil, store.Inbound{Proven: true}, nil)
	if err := db.NoteProblems(t.Context(), []store.InboundProblem{{At: store.Millis(now) - 7200_000, Result: "known", Source: "mail 4cXk2", Org: "rx.test", Domain: "shop.example", ReportID: "2"}, {At: store.Millis(now) - 3600_000, Result: "refused", Why: "it is not a report: " + hostile, Source: "mail 4cXk3"}}); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestReportPages: one source, one report, and the list of what came in say what they must; what is private is not
// among it.
func TestReportPages(t *testing.T) {
	db := reported(t)
	h := as(handler(&source{db: db}), "admin")
	for _, c := range []struct {
		path   string
		status int
		want   []string
		not    []string
	}{
		{"/reports/shop.example", 200, []string{"shop.example is almost ready for p=reject: one thing is left.", "Reports since 31 Oct. 2 receivers report", "Since 9 Nov. 1,044 messages of yours were quarantined or rejected in 30 days.", "Then wait for 14 days of reports, and publish.", "Who is it?", "network:198.51.100.0-24?days=30#who", "yours, fails", "4 sources, 49,", "known, signs", "forged", "&gt;99% was quarantined or rejected.", "in your SPF", "Published now", "v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example", "To publish later", "v=DMARC1; p=reject; rua=mailto:dmarc@shop.example", "bigmail.test", "The same twice1", "Could not be read1", "21 Nov: 190 not yours", "/reports/shop.example/network:198.51.100.0-24?days=30"}, []string{"ZgotmplZ"}},
		{"/reports/shop.example?show=mend", 200, []string{"2 sources, ", "198.51.100.0-24"}, []string{"203.0.113.0-24"}},
		{"/reports/shop.example?show=others&days=7", 200, []string{"7 days to 30 Nov", "198.51.100.0/24"}, []string{">bulk.test<"}},
		{"/reports/shop.example?source=BULK", 200, []string{"1 source, 42,", ">bulk.test<", "show=mend&amp;source=BULK"}, []string{"198.51.100.0-24"}},
		{"/reports/shop.example?source=198.51", 200, []string{"1 source, 1,044", "198.51.100.0-24"}, []string{">bulk.test<"}},
		{"/reports/shop.example?source=%3Cscript%3E", 200, []string{"No source of this kind has"}, nil},
		{"/reports/shop.example?days=45", 200, []string{"45 days to 30 Nov"}, nil},
		{"/reports/shop.example?after=dkim:none", 400, []string{"This page of sources does not exist."}, nil},
		{"/reports?all=1", 200, []string{"Which domain?", "<kbd>/</kbd> search", "/reports/shop.example"}, []string{"<kbd>/</kbd> source"}},
		{"/reports?domain=shop.example&days=7&show=mend", 303, []string{"/reports/shop.example?days=7&amp;show=mend"}, nil},
		{"/reports/shop.example/network:198.51.100.0-24", 200, []string{"198.51.100.0/24 sent 1,044 messages as shop.example: yours, fails.", "The SPF record of the domain lists it", "Yes, it is ours", "in your SPF", "mailer.example softfail", "bigmail.test", "720, 0% pass", "/report/30", "Its address is out9.mailer.example, which is of mailer.example. Your SPF record lists it. Its MAIL FROM is mailer.example.", "Listed byshop.example ip4:198.51.100.0/24", "mailer.example softfail, 1,044"}, []string{"bulk.test"}},
		{"/reports/shop.example/dkim:bulk.test?days=7", 200, []string{"bulk.test sent", "known, signs", "Nothing."}, nil},
		{"/reports/shop.example/dkim:none.test", 404, []string{"do not name it"}, nil},
		{"/reports/x..y/dkim:none.test", 400, []string{"This is not a domain name."}, nil},
		{"/reports/shop.example/received", 200, []string{"29 reports of 2 reporters came in about shop.example in 30 days.", "Could not be read: 1. Read before, and counted once: 1.", "read before", "not read", "not proven", "bigmail.test", "/report/32"}, nil},
		{"/reports/shop.example/received?after=!", 400, []string{"does not exist"}, nil},
		{"/report/30", 200, []string{"bigmail.test reports 1,936 messages about shop.example, 29 November 2026.", "192.0.2.25", "bulk.test/s1 pass", "quarantine", "adkim", "an odd address", "dmarc@bigmail.test", "/v1/reports/in/30"}, nil},
		{"/report/31", 200, []string{"It does not count", "stranger.test dmarc=fail", "It has none."}, nil},
		{"/report/32", 200, []string{"reports 1 failures", "s…@shop.example", "Local parts of addresses are omitted."}, []string{"secretperson"}},
		{"/report/99", 404, []string{"There is no such report."}, nil},
		{"/report/x", 404, []string{"There is no such report."}, nil},
		{"/report/30?after=!", 400, []string{"does not exist"}, nil},
	} {
		t.Run(c.path, func(t *testing.T) {
			status, body := open(t, h, c.path)
			text := textOf(t, body)
			if status != c.status {
				t.Errorf("%d, want %d", status, c.status)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) && !strings.Contains(body, w) {
					t.Errorf("%q is missing in %s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(body, w) {
					t.Errorf("%q is there: %s", w, text)
				}
			}
			if status != 303 {
				check(t, body)
			}
		})
	}
}

// TestSourcePages: pages of sources show each once, in one order.
func TestSourcePages(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "many.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	day := store.DayOf(store.Millis(now)) - 1
	var sources []store.Source
	const many = 2*SourceRows + 7
	for i := range many {
		sources = append(sources, store.Source{Domain: "shop.example", Day: day, Kind: "dkim", Source: fmt.Sprintf("s%d.test", i), IP: "192.0.2.1", Messages: int64(i + 1), DKIM: int64(i + 1), DMARC: int64(i + 1)})
	}
	addReport(t, db, &report.Report{Kind: report.Aggregate, Org: "rx.test", ID: "1", Domain: "shop.example", Begin: store.Time(day.Start()), End: store.Time(day.End() - 1000)}, nil, store.Inbound{Proven: true}, sources)
	h := handler(&source{db: db})
	seen := map[string]bool{}
	for path, pages := "/reports/shop.example?days=7", 0; path != ""; pages++ {
		_, body := open(t, h, path)
		path = ""
		for part := range strings.SplitSeq(body, `href="`) {
			link, _, _ := strings.Cut(part, `"`)
			if strings.HasPrefix(link, "/reports/shop.example/dkim:") {
				if seen[link] {
					t.Fatalf("%s is shown twice", link)
				}
				seen[link] = true
			}
			if strings.Contains(link, "after=") {
				path = strings.ReplaceAll(link, "&amp;", "&")
			}
		}
		if pages > many {
			t.Fatal("the pages do not end")
		}
	}
	if len(seen) != many {
		t.Errorf("%d sources on all pages, want %d", len(seen), many)
	}
}

// TestChangedText: the tag that is new in a record is marked, and the text stays whole.
func TestChangedText(t *testing.T) {
	for _, c := range []struct{ was, is, tag string }{
		{"v=DMARC1; p=none; rua=mailto:a@b.test", "v=DMARC1; p=quarantine; rua=mailto:a@b.test", "p=quarantine"}, {"v=DMARC1;p=quarantine", "v=DMARC1;p=reject", "p=reject"},
		{"v=DMARC1; rua=mailto:a@b.test", "v=DMARC1; p=reject; rua=mailto:a@b.test", "p=reject"}, {"", "", ""}, {"x", "x", "x"}, {"p=none;p", "p=nonenone;p", "p=nonenone"},
	} {
		got := changedText(c.was, c.is)
		if got.Before+got.New+got.After != c.is || got.New != c.tag {
			t.Errorf("%q to %q: %+v", c.was, c.is, got)
		}
	}
}

// TestForgedNetworks: networks that only forge the domain share one row, which leads to each of them; one about which
// the operator said something has its own.
func TestForgedNetworks(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "forged.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	day := store.DayOf(store.Millis(now)) - 1
	sources := []store.Source{{Domain: "shop.example", Day: day, Kind: "net", Source: "192.0.2.0/24", IP: "192.0.2.1", Messages: 100, SPF: 100, DMARC: 100}}
	for i := range 61 {
		sources = append(sources, store.Source{Domain: "shop.example", Day: day, Kind: "net", Source: fmt.Sprintf("10.0.%d.0/24", i), IP: fmt.Sprintf("10.0.%d.1", i), Messages: 5, Quarantined: 4})
	}
	addReport(t, db, &report.Report{Kind: report.Aggregate, Org: "rx.test", ID: "1", Domain: "shop.example", Begin: store.Time(day.Start()), End: store.Time(day.End() - 1000)}, nil, store.Inbound{Proven: true}, sources)
	if err := db.ChooseSource(t.Context(), store.SourceChoice{Domain: "shop.example", Kind: "net", Source: "10.0.7.0/24", At: 1, By: "ann"}); err != nil {
		t.Fatal(err)
	}
	h := as(handler(&source{db: db}), "admin")
	_, body := open(t, h, "/reports/shop.example")
	check(t, body)
	text := textOf(t, body)
	for _, want := range []string{"62 sources, 405 messages", "60 networks", "without a common name, such as 10.0.", "Nothing: 80% was quarantined or rejected.", "10.0.7.0/24", "192.0.2.0/24"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	if strings.Contains(text, "10.0.8.0/24") || !strings.Contains(body, `href="/reports/shop.example?days=30&amp;show=others"><b>60 networks`) {
		t.Error(text)
	}
	if _, body := open(t, h, "/reports/shop.example?show=others"); strings.Count(body, "network:10.0.") != 50 || !strings.Contains(body, "More sources") {
		t.Error(textOf(t, body))
	}
	if _, body := open(t, h, "/reports/shop.example?source=10.0.8."); !strings.Contains(body, "10.0.8.0/24") {
		t.Error(textOf(t, body))
	}
}

// TestFoldedSource: many networks that fail share one row, about which nothing is asked.
func TestFoldedSource(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "folded.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	day := store.DayOf(store.Millis(now)) - 1
	var sources []store.Source
	for i := range fewestSources + 30 {
		sources = append(sources, store.Source{Domain: "shop.example", Day: day, Kind: "net", Source: fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), IP: "10.0.0.1", Messages: int64(1 + i), Rejected: 1})
	}
	addReport(t, db, &report.Report{Kind: report.Aggregate, Org: "rx.test", ID: "1", Domain: "shop.example", Begin: store.Time(day.Start()), End: store.Time(day.End() - 1000)}, nil, store.Inbound{Proven: true}, sources)
	h := as(handler(&source{db: db}), "admin")
	found := ""
	for path, pages := "/reports/shop.example?days=365", 0; path != "" && pages < 10; pages++ { // it is on the last one
		_, found = open(t, h, path)
		path = ""
		if _, after, ok := strings.Cut(found, `data-key="]" href="`); ok {
			path, _, _ = strings.Cut(after, `"`)
			path = strings.ReplaceAll(path, "&amp;", "&")
		}
	}
	if !strings.Contains(found, "30 other networks") {
		t.Fatal("no page shows the rest")
	}
	_, row, _ := strings.Cut(found, "network:other")
	row, _, _ = strings.Cut(row, "</tr>")
	if strings.Contains(row, "<form") || !strings.Contains(row, "forged") {
		t.Error(row)
	}
	if status, body := open(t, h, "/reports/shop.example/network:other?days=365"); status != 200 || !strings.Contains(body, "Other networks sent") || strings.Contains(body, "Yes, it is ours") {
		t.Errorf("%d %s", status, textOf(t, body))
	}
}
