package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postseal/store"
)

// Plans checks that a page of each indexed search uses its index, on the newest day of Fill.
// plan returns what the engine says of a page; index is a part of the name of the index.
func Plans(t *testing.T, db store.Store, plan func(store.Day, *store.Query, store.Cursor) string) {
	t.Helper()
	days, err := db.Days(t.Context())
	if err != nil || len(days) == 0 {
		t.Fatalf("%v, %v", days, err)
	}
	for _, c := range []struct{ text, index string }{
		{"ref:7KQ2-9F3M", "_ref"}, {"qid:4Q00000007", "_qid"}, {"7KQ29F3M", "_ref"}, {"author:a9999.test", "_author"}, {"author:a9999.test action:reject", "_author"},
		{"ip:100.64.7.4", "_ip"}, {"ip:100.64.7.0/24", "_ip"}, {"action:defer", "_action"}, {"applied:reject author:a9999.test", "_author"},
		{"messageid:<1@acme.test>", "_mid"}, {"messageid:<1@acme.test> action:reject", "_mid"},
	} {
		q, err := store.ParseQuery(c.text, Now, Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []store.Cursor{{Limit: 50}, {Limit: 50, Before: store.FirstID(days[0].End())}} {
			if got := plan(days[0], q, p); !strings.Contains(got, c.index) {
				t.Errorf("%q, %+v, does not use the index %s:\n%s", c.text, p, c.index, got)
			}
		}
	}
}

// FillReports writes what the plans of reports are tested with: 25 sources of 400 days, reports of others, and our own.
func FillReports(t testing.TB, db store.Store) {
	t.Helper()
	const days, sources, domains = 400, 25, 40
	var list []store.Source
	var ours []store.Outgoing
	for day := range store.Day(days) {
		for i := range sources {
			list = append(list, store.Source{Domain: "plan.test", Day: theDay - day, Kind: "net", Source: fmt.Sprintf("10.0.%d.0/24", i), IP: "10.0.0.1", Messages: 1})
		}
		id, err := db.BeginInbound(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		r := store.Inbound{Kind: "aggregate", Org: "rx.test", ReportID: fmt.Sprint(day), Domain: fmt.Sprintf("d%d.test", day%domains), Begin: (theDay - day).Start(), Meta: "{}", Proven: true}
		if _, err := db.EndInbound(t.Context(), id, r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for day := range store.Day(50) {
		for i := range domains {
			ours = append(ours, store.Outgoing{Day: theDay - day, Domain: fmt.Sprintf("d%d.test", i), ID: fmt.Sprint(day, i), State: store.ReportBuilt, Body: []byte(strings.Repeat("x", 2000))})
		}
	}
	if err := errors.Join(db.ImportSources(t.Context(), list), db.AddReports(t.Context(), ours)); err != nil {
		t.Fatal(err)
	}
	for i, r := range ours {
		state := store.DeliverySent
		if i%100 == 0 {
			state = store.DeliveryFailed
		}
		if err := db.SealReport(t.Context(), r.Day, r.Domain, "", []store.Delivery{{URI: "mailto:x@" + r.Domain, Address: "x@" + r.Domain, State: state, Token: fmt.Sprint("p", i)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// PlanDay is a day of FillReports.
func PlanDay() store.Day { return theDay - 30 }
