package server

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"postseal/store"
)

// TestReportsOutAPI: our reports over HTTP: the list, the text, another attempt, and suppressions.
func TestReportsOutAPI(t *testing.T) {
	d := run(t, listeners+storeTable(t.TempDir()))
	var out store.Outbox
	eventually(t, "the store", func() (ok bool) { out, ok = d.history.reader().(store.Outbox); return ok })
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	z.Write([]byte("<feedback/>"))
	z.Close()
	day := store.DayOf(store.Millis(d.history.now())) - 1
	if err := out.AddReports(t.Context(), []store.Outgoing{{Day: day, Domain: "acme.test", ID: "1", File: "f", State: store.ReportBuilt, Body: body.Bytes(), NextAt: 1 << 50}}); err != nil {
		t.Fatal(err)
	}
	if err := out.SealReport(t.Context(), day, "acme.test", "", []store.Delivery{{URI: "mailto:a@x.test", Address: "a@x.test", State: store.DeliveryFailed, Token: "t"}}); err != nil {
		t.Fatal(err)
	}
	if err := out.Suppress(t.Context(), store.Suppression{Target: "a@x.test", Until: 1 << 42, Why: "550", Hits: 2}); err != nil {
		t.Fatal(err)
	}
	at := "/v1/reports/out/" + day.String() + "/acme.test"
	for _, c := range []struct {
		method, path string
		want         int
		text         string
	}{
		{"GET", "/v1/reports/out", 200, `"domain":"acme.test"`}, {"GET", "/v1/reports/out?state=none", 200, `"reports":[]`}, {"GET", "/v1/reports/out?state=x", 400, "state is not one of"},
		{"GET", "/v1/reports/out?state=waiting", 200, `"reports":[]`}, {"GET", "/v1/reports/out?state=failed&days=7&limit=1", 200, `"next":""`}, {"GET", "/v1/reports/out?after=x", 400, "is not a cursor"}, {"GET", "/v1/reports/out?days=0", 400, "days is not"}, {"GET", "/v1/reports/out?limit=0", 400, "limit is not"},
		{"GET", "/v1/reports/out/preview", 200, `"sends":false`}, {"GET", "/v1/reports/out/preview?day=x", 400, "2026-11-29"}, {"GET", "/v1/reports/out/preview?day=2999-01-01", 400, "has not begun"},
		{"GET", at + "/destinations", 200, `"address":"a@x.test"`}, {"GET", "/v1/reports/out/" + day.String() + "/other.test/destinations", 404, "asks for a report"}, {"GET", "/v1/reports/out/x/acme.test/destinations", 400, "2026-11-29"},
		{"GET", at, 200, "<feedback/>"}, {"GET", "/v1/reports/out/" + day.String() + "/other.test", 404, "no report"}, {"GET", "/v1/reports/out/x/acme.test", 400, "2026-11-29"},
		{"POST", at + "/retry", 200, `"due":1`}, {"POST", at + "/retry", 409, "no delivery"}, {"POST", "/v1/reports/out/x/acme.test/retry", 400, ""},
		{"GET", "/v1/suppressions", 200, `"target":"a@x.test"`}, {"DELETE", "/v1/suppressions/a@x.test", 200, "a@x.test"}, {"DELETE", "/v1/suppressions/a@x.test", 404, "not suppressed"},
	} {
		if status, got := d.request(c.method, c.path, "", ""); status != c.want || !strings.Contains(got, c.text) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, got, c.want, c.text)
		}
	}
}
