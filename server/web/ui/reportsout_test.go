package ui

import (
	"bytes"
	"compress/gzip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"postseal/server/listener"
	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// outgoing is a database with two reports: one that was sent to one address and failed at another, and
// one that waits; and with a suppressed address.
func outgoing(t testing.TB) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "out.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	z.Write([]byte("<feedback/>"))
	z.Close()
	day := store.DayOf(store.Millis(now)) - 1
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.CloseDay(ctx, day, store.Millis(now), ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme.test", "shop.example"} {
		must(db.AddReports(ctx, []store.Outgoing{{Day: day, Domain: name, ID: name, File: name + ".xml.gz", State: store.ReportBuilt, Records: 3, Messages: 1234, Body: body.Bytes(), BuiltAt: store.Millis(now)}}))
	}
	must(db.DayBuilt(ctx, day, 10))
	must(db.SealReport(ctx, day, "acme.test", "", []store.Delivery{
		{URI: "mailto:d@acme.test", Address: "d@acme.test", State: store.DeliveryDue, NextAt: 1, Token: "t1"}, {URI: "mailto:r@reports.test", Address: "r@reports.test", State: store.DeliveryDue, NextAt: 1, Token: "t2"}}))
	due, err := db.DueDeliveries(ctx, store.Millis(now), 10)
	must(err)
	for _, x := range due {
		if _, err := db.Lease(ctx, x, store.Millis(now), store.Millis(now)+1000); err != nil {
			t.Fatal(err)
		}
		x.State, x.Attempts, x.Reply, x.SentAt = store.DeliverySent, 1, "250 2.0.0 Ok", store.Millis(now)
		if x.Address == "r@reports.test" {
			x.State, x.Reply, x.SentAt = store.DeliveryFailed, "550 5.1.1 "+hostile, 0
		}
		must(db.EndAttempt(ctx, x))
	}
	rows, policies := storetest.ReportRows(day - 1)
	n, err := db.Claim(ctx, store.Node{Instance: strings.Repeat("0", 32), Boot: strings.Repeat("1", 32), Name: "mx1", Version: "test"})
	must(err)
	_, err = db.Ship(ctx, n, n.At, store.Position{Segment: n.At.Segment, Offset: n.At.Offset + 1}, &store.Batch{Rows: rows, Policies: policies})
	must(err)
	addFailures(t, db, day)
	must(db.Suppress(ctx, store.Suppression{Target: "r@reports.test", Until: store.Millis(now.AddDate(0, 1, 0)), Why: "550 5.1.1", Hits: 2}))
	must(db.Suppress(ctx, store.Suppression{Target: "other.test", Until: store.Millis(now.AddDate(70, 0, 0)), Why: hostile, Hits: 1, ByHand: true}))
	return db
}

// addFailures adds a failure report that waits, and one that failed.
func addFailures(t testing.TB, db *sqlite.DB, day store.Day) {
	t.Helper()
	at := day.Start() + 3600_000
	var list []store.FailureReport
	for i, token := range []string{"tf1", "tf2"} {
		list = append(list, store.FailureReport{Delivery: store.Delivery{Day: day, Domain: "acme.test", URI: "failure:" + token, Address: "f@acme.test", NextAt: at, Token: token}, Asked: "mailto:f@acme.test", MadeAt: at + int64(i), Ref: store.RefText(1000), Type: "dmarc", Incidents: int64(3 + i), Body: []byte("x")})
	}
	if ok, err := db.QueueFailure(t.Context(), store.FailureLimit{Domain: "acme.test", Kind: "a", At: at, Most: 9, Every: 1, Waiting: 9}, list); !ok || err != nil {
		t.Fatal(ok, err)
	}
	failed := list[1].Delivery
	if _, err := db.Lease(t.Context(), failed, store.Millis(now), store.Millis(now)+1000); err != nil {
		t.Fatal(err)
	}
	failed.State, failed.Attempts, failed.Reply = store.DeliveryFailed, 1, "550 5.7.1 "+hostile
	if err := db.EndAttempt(t.Context(), failed); err != nil {
		t.Fatal(err)
	}
}

// TestReportsOut: the page says what was delivered and what not; an admin sends a report again and lifts
// a suppression, a reader sees neither button.
func TestReportsOut(t *testing.T) {
	db := outgoing(t)
	pages := handler(&source{db: db})
	admin := as(pages, listener.AdminRole)
	status, body := open(t, admin, "/reports/out")
	check(t, body)
	for _, want := range []string{"1 waiting, 1 sent, 1 failed, 0 suppressed in 7 days.", "1,234", "550 5.1.1", "250 2.0.0 Ok", "r@reports.test", "30 Dec 2026", "by hand", "Send again", "Lift"} {
		if text := textOf(t, body); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%d, %q is missing in %s", status, want, text)
		}
	}
	if _, body := open(t, as(pages, listener.ReaderRole), "/reports/out"); strings.Contains(body, "Send again") || strings.Contains(body, ">Lift") {
		t.Error("a reader sees the buttons")
	}
	if strings.Count(body, "Send again") != 1 {
		t.Error("a report that was not attempted can be sent again")
	}
	day := (store.DayOf(store.Millis(now)) - 1).String()
	for _, c := range []struct {
		form url.Values
		code int
		want string
	}{
		{url.Values{"act": {"retry"}, "day": {day}, "domain": {"acme.test"}}, 303, "/reports/out"},
		{url.Values{"act": {"retry"}, "day": {day}, "domain": {"acme.test"}}, 400, "no delivery of this report was sent or failed"},
		{url.Values{"act": {"retry"}, "day": {"yesterday"}}, 400, "2026-11-29"},
		{url.Values{"act": {"lift"}, "target": {"r@reports.test"}}, 303, "/reports/out"},
		{url.Values{"act": {"lift"}, "target": {"r@reports.test"}}, 400, "is not suppressed"},
		{url.Values{"act": {hostile}}, 400, "act is not one of"},
	} {
		if code, got := post(t, admin, "/reports/out/act", c.form); code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%v: %d %s", c.form, code, got)
		}
	}
	if _, body := open(t, admin, "/reports/out"); !strings.Contains(textOf(t, body), "3 waiting, 0 sent, 0 failed") {
		t.Errorf("after another attempt: %s", textOf(t, body))
	}
	if code, _ := post(t, as(handler(&source{why: "off"}), listener.AdminRole), "/reports/out/act", url.Values{"act": {"lift"}}); code != 503 {
		t.Errorf("off: %d", code)
	}
}

// TestFailureWords: the counts of failure reports, and whether they are sent.
func TestFailureWords(t *testing.T) {
	many := []string{"a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test"}
	for _, c := range []struct {
		n    store.OutgoingCounts
		of   []string
		want string
	}{
		{store.OutgoingCounts{}, nil, "No failure report in 7 days. They are off: [report.failure] enabled = true and domains turn them on."},
		{store.OutgoingCounts{Waiting: 1, Sent: 1200, Failed: 2, Suppressed: 3}, many[:1], "1 waiting, 1,200 sent, 2 failed, 3 suppressed in 7 days. They are sent about a.test, if their policy asks for them."},
		{store.OutgoingCounts{}, many, "No failure report in 7 days. They are sent about a.test, b.test, c.test, d.test, e.test and 2 other domains, if their policy asks for them."},
	} {
		if got := failureWords(&Reporting{FailuresOf: c.of}, &c.n, 7); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestReportsPreview: before anything is sent the pages show whom a report goes to, its exact text and its
// destinations; one that was sent shows what became of it.
func TestReportsPreview(t *testing.T) {
	db := outgoing(t)
	h := as(handler(&source{db: db}), listener.ReaderRole)
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/reports/out", 200, []string{"Nothing is sent: [report] from and dkim are not set.", "/reports/out/preview", "Size"}},
		{"/reports/out?state=waiting", 200, []string{"shop.example"}},
		{"/reports/out?state=sent", 200, []string{"acme.test"}},
		{"/reports/out?state=failed&days=30", 200, []string{"acme.test", "aria-current"}},
		{"/reports/out?state=suppressed", 200, []string{"other.test"}},
		{"/reports/out?state=none", 200, []string{"No report of this kind is here."}},
		{"/reports/out", 200, []string{"Failure reports", "1 waiting, 0 sent, 1 failed, 0 suppressed in 7 days. They are off: [report.failure] enabled = true and domains turn them on.", "550 5.7.1", "/v/" + store.RefText(1000), "f@acme.test"}},
		{"/reports/out?state=sent", 200, []string{"None of these."}},
		{"/reports/out?state=failed", 200, []string{"550 5.7.1"}},
		{"/reports/out/preview?day=2026-11-28", 200, []string{"of 28 November asks for a report.", "acme.test", "a report"}},
		{"/reports/out/preview?day=2026-11-28&after=acme.test", 200, []string{"bulk.test"}},
		{"/reports/out/preview?day=2026-12-02", 400, []string{"The day has not begun."}},
		{"/reports/out/preview?day=x", 400, []string{"not of the form 2026-11-29"}},
		{"/reports/out/2026-11-28/acme.test", 200, []string{"would be this one", "mailto:d@acme.test", "waiting", "<feedback", "<org_name>mx.example.net</org_name>", "It is not made yet"}},
		{"/reports/out/2026-11-29/acme.test", 200, []string{"is done", "d@acme.test", "250 2.0.0 Ok", "failed"}},
		{"/reports/out/2026-11-29/shop.example", 200, []string{"waits", "dmarc@shop.example", "asked again before it is sent", "<feedback/>"}},
		{"/reports/out/2026-11-28/none.test", 404, []string{"There is no such report."}},
		{"/reports/out/x/acme.test", 400, []string{"There is no such report."}},
	} {
		t.Run(c.path, func(t *testing.T) {
			status, body := open(t, h, c.path)
			check(t, body)
			text := textOf(t, body)
			if status != c.status {
				t.Errorf("%d, want %d", status, c.status)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) && !strings.Contains(body, w) {
					t.Errorf("%q is missing in %s", w, text)
				}
			}
		})
	}
	if list, err := db.Outgoing(t.Context(), store.ReportFilter{}); err != nil || len(list) != 2 {
		t.Errorf("looking made reports: %d, %v", len(list), err)
	}
}
