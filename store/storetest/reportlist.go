package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postseal/store"
)

// became: reports are selected by what became of them, in pages, and counted.
func became(t *testing.T, db store.Store) {
	ctx := t.Context()
	add := func(day store.Day, domain string, states ...string) {
		t.Helper()
		if err := db.AddReports(ctx, []store.Outgoing{{Day: day, Domain: domain, ID: fmt.Sprint(day, domain), File: "f", State: store.ReportBuilt, Body: []byte("body"), NextAt: 70}}); err != nil {
			t.Fatal(err)
		}
		if len(states) == 0 {
			return
		}
		var to []store.Delivery
		for i, state := range states {
			to = append(to, store.Delivery{URI: fmt.Sprint("mailto:", i), Address: "a@x.test", State: state, NextAt: 50, Token: fmt.Sprint(day, domain, i)})
		}
		why := ""
		if states[0] == store.ReportNone {
			to, why = nil, "excluded"
		}
		if err := db.SealReport(ctx, day, domain, why, to); err != nil {
			t.Fatal(err)
		}
	}
	add(theDay, "a.test")
	add(theDay, "b.test", store.DeliveryDue, store.DeliveryRefused)
	add(theDay, "c.test", store.DeliverySent, store.DeliveryFailed)
	add(theDay-1, "a.test", store.DeliverySent)
	add(theDay-1, "d.test", store.DeliveryExpired)
	add(theDay-1, "e.test", store.ReportNone)
	for _, c := range []struct {
		name string
		f    store.ReportFilter
		want []string
	}{
		{"all", store.ReportFilter{}, []string{"a.test", "b.test", "c.test", "a.test", "d.test", "e.test"}}, {"since", store.ReportFilter{Since: theDay}, []string{"a.test", "b.test", "c.test"}},
		{"waiting", store.ReportFilter{State: store.OutWaiting}, []string{"a.test", "b.test"}}, {"sent", store.ReportFilter{State: store.OutSent}, []string{"c.test", "a.test"}},
		{"failed", store.ReportFilter{State: store.OutFailed}, []string{"c.test", "d.test"}}, {"suppressed", store.ReportFilter{State: store.OutSuppressed}, []string{"b.test"}},
		{"none", store.ReportFilter{State: store.ReportNone}, []string{"e.test"}}, {"an unknown state", store.ReportFilter{State: "x' OR '1"}, nil},
		{"the second page", store.ReportFilter{AfterDay: theDay, AfterDomain: "b.test", Limit: 3}, []string{"c.test", "a.test", "d.test"}}, {"the last page", store.ReportFilter{AfterDay: theDay - 1, AfterDomain: "d.test"}, []string{"e.test"}},
	} {
		list, err := db.Outgoing(ctx, c.f)
		var got []string
		for _, r := range list {
			got = append(got, r.Domain)
			if r.Size != 4 || r.Body != nil {
				t.Errorf("%+v", r)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v, %v", c.name, got, c.want, err)
		}
	}
	if n, err := db.OutgoingCounts(ctx, theDay-1); err != nil || n != (store.OutgoingCounts{Waiting: 2, Sent: 2, Failed: 2, Suppressed: 1, NotSent: 1, NextAt: 50}) {
		t.Errorf("%+v %v", n, err)
	}
	if n, err := db.OutgoingCounts(ctx, theDay+1); err != nil || n != (store.OutgoingCounts{}) {
		t.Errorf("of a day without reports: %+v %v", n, err)
	}
	if err := db.TrimReports(ctx, theDay+1, theDay+1); err != nil {
		t.Fatal(err)
	}
}

// topSources: with a bound, sources that pass are told apart first, and the rest is one source a day; sums stay the
// same.
func topSources(t *testing.T, db store.Store) {
	ctx := t.Context()
	var sources []store.Source
	for day := range store.Day(2) {
		for i := range 6 {
			s := store.Source{Domain: "many.test", Day: theDay - day, Kind: "net", Source: fmt.Sprintf("10.0.%d.0/24", i), IP: fmt.Sprintf("10.0.%d.1", i), Messages: int64(10 * (i + 1)), Rejected: int64(i)}
			if i == 0 {
				s.DMARC, s.SPF = 9, 9
			}
			sources = append(sources, s)
		}
	}
	id, err := db.BeginInbound(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	r := store.Inbound{Kind: "aggregate", Org: "rx.test", ReportID: "many", Domain: "many.test", Begin: theDay.Start(), End: theDay.End(), Meta: "{}", Proven: true}
	if _, err := db.EndInbound(ctx, id, r, sources); err != nil {
		t.Fatal(err)
	}
	all, folded, err := db.TopSources(ctx, "many.test", theDay-1, theDay, 6)
	if err != nil || folded != 0 || len(all) != 12 {
		t.Errorf("%d sources, %d folded, %v", len(all), folded, err)
	}
	all, folded, err = db.TopSources(ctx, "many.test", theDay-1, theDay, 2)
	if err != nil || folded != 4 || len(all) != 6 {
		t.Fatalf("%+v, %d folded, %v", all, folded, err)
	}
	want := map[string]store.Source{"10.0.0.0/24": sources[0], "10.0.5.0/24": sources[5], store.RestOfSources: {Domain: "many.test", Kind: "net", Source: store.RestOfSources, IP: "10.0.1.1", Messages: 20 + 30 + 40 + 50, Rejected: 1 + 2 + 3 + 4}}
	for i, got := range all {
		x := want[got.Source]
		x.Day = theDay - 1 + store.Day(i/3)
		if got != x {
			t.Errorf("%+v, want %+v", got, x)
		}
	}
}

// firstDays: the first day of a source is that of all its days and of the names below the domain, and only of those
// that are asked for.
func firstDays(t *testing.T, db store.Store) {
	ctx := t.Context()
	if day, first, err := db.FirstDays(ctx, "first.test", []store.SourceName{{Kind: "net", Source: "10.0.0.0/24"}}); day != 0 || len(first) != 0 || err != nil {
		t.Errorf("without reports: %v, %v, %v", day, first, err)
	}
	name := func(i int) store.SourceName {
		return store.SourceName{Kind: "net", Source: fmt.Sprintf("10.1.%d.0/24", i)}
	}
	var sources []store.Source
	add := func(domain string, day store.Day, n store.SourceName) {
		sources = append(sources, store.Source{Domain: domain, Day: day, Kind: n.Kind, Source: n.Source, IP: "10.0.0.1", Messages: 1})
	}
	dkim := store.SourceName{Kind: "dkim", Source: name(1).Source} // another kind with the same name
	add("first.test", theDay, name(1))
	add("first.test", theDay-400, name(1))
	add("a.first.test", theDay-500, name(1))
	add("xfirst.test", theDay-600, name(1))
	add("first.test", theDay-7, dkim)
	add("a.first.test", theDay-900, name(2))
	const many = 300 // more than one statement asks for
	for i := 10; i < many; i++ {
		add("first.test", theDay-store.Day(i), name(i))
	}
	for range 2 { // what is there stays as it is
		if err := db.ImportSources(ctx, sources); err != nil {
			t.Fatal(err)
		}
	}
	asked := []store.SourceName{name(1), dkim, {Kind: "net", Source: "none"}}
	for i := 10; i < many; i++ {
		asked = append(asked, name(i))
	}
	day, first, err := db.FirstDays(ctx, "first.test", asked)
	if err != nil || day != theDay-900 || len(first) != len(asked)-1 || first[name(1)] != theDay-500 || first[dkim] != theDay-7 {
		t.Errorf("%v, %d sources, %v, %v, %v", day, len(first), first[name(1)], first[dkim], err)
	}
	for i := 10; i < many; i++ {
		if first[name(i)] != theDay-store.Day(i) {
			t.Fatalf("%d: %v", i, first[name(i)])
		}
	}
	if all, err := db.Sources(ctx, "first.test", theDay, theDay); err != nil || len(all) != 1 || all[0] != sources[0] {
		t.Errorf("%+v, %v", all, err)
	}
}

// policyDays: one report of each day shows the policy, the newest day first; those that do not count, and those about
// other names, do not.
func policyDays(t *testing.T, db store.Store) {
	ctx := t.Context()
	n := 0
	add := func(domain string, begin int64, meta string, proven bool) {
		t.Helper()
		id, err := db.BeginInbound(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, err := db.EndInbound(ctx, id, store.Inbound{Kind: "aggregate", Org: "rx.test", ReportID: fmt.Sprint(n), Domain: domain, Begin: begin, End: begin + 1, Meta: meta, Proven: proven}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for day := range store.Day(5) {
		for hour := range int64(3) {
			add("held.test", (theDay-day).Start()+hour*3600_000, fmt.Sprintf("{%d %d}", day, hour), true)
		}
	}
	add("held.test", theDay.End(), "{not proven}", false)
	add("a.held.test", theDay.End(), "{another name}", true)
	add("held.test", (theDay - 9).Start(), "{"+strings.Repeat("x", 10_000)+"}", true)
	for _, c := range []struct {
		domain string
		most   int
		want   string
	}{{"held.test", 400, "[{0 2} {1 2} {2 2} {3 2} {4 2} ]"}, {"held.test", 2, "[{0 2} {1 2}]"}, {"none.test", 400, "[]"}} {
		all, err := db.PolicyDays(ctx, c.domain, c.most)
		text := []string{}
		for _, x := range all {
			text = append(text, x.Meta)
		}
		if err != nil || fmt.Sprint(text) != c.want {
			t.Errorf("%s, %d: %v, %v", c.domain, c.most, text, err)
		}
		for i, x := range all {
			if want := theDay - store.Day(i); x.Day != want && i < 5 {
				t.Errorf("%d: %v, want %v", i, x.Day, want)
			}
		}
	}
}
