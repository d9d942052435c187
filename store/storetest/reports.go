package storetest

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/store"
)

// ReportRows are rows of one day that three domains want reports about.
func ReportRows(day store.Day) ([]store.Row, []store.Policy) {
	at := day.Start() + 3600_000
	var rows []store.Row
	add := func(n int, r store.Row) {
		for range n {
			r.Millis, r.Ref = at+int64(len(rows)), store.RefText(int64(len(rows)))
			rows = append(rows, r)
		}
	}
	acme := store.Policy{Hash: store.Hash{1}, Domain: "acme.test", Text: "v=DMARC1; p=reject; rua=mailto:dmarc@acme.test", Discovery: "treewalk", First: at, Last: at}
	bulk := store.Policy{Hash: store.Hash{2}, Domain: "bulk.test", Text: "v=DMARC1; p=none; rua=mailto:r@bulk.test", Discovery: "treewalk", First: at, Last: at}
	r := store.Row{Door: "milter", Action: "accept", Applied: "accept", Enforce: "guarded", Reason: "dmarc.pass", Author: "acme.test", MFrom: "acme.test", IP: netip.MustParseAddr("192.0.2.1"),
		SPF: "pass", SPFDomain: "acme.test", DKIM: "pass:acme.test/s1", DMARC: "pass", Aligned: "both", P: "reject", PolicyDom: "acme.test", PolicyHash: acme.Hash, Cause: 1}
	add(3, r)
	other := r
	other.IP, other.Author, other.DKIM = netip.MustParseAddr("2001:db8::1"), "news.acme.test", "fail:acme.test/s1(BodyHashMismatch),pass:list.test/k"
	other.Aligned, other.SPF, other.SPFDomain, other.MFrom, other.DMARC, other.Action, other.Applied, other.Override, other.Why = "none", "pass", "list.test", "list.test", "fail", "reject", "quarantine", "mailing_list", "guarded"
	add(2, other)
	quiet := r
	quiet.PolicyDom, quiet.Author, quiet.PolicyHash, quiet.Cause, quiet.P = "bulk.test", "bulk.test", bulk.Hash, 2, "none"
	add(1, quiet)
	deferred := r
	deferred.Action, deferred.Applied = "defer", "defer"
	add(1, deferred)
	none := r
	none.Cause, none.PolicyDom = 0, "nobody.test"
	add(1, none)
	return rows, []store.Policy{acme, bulk}
}

var theDay = store.DayOf(store.Millis(Now)) - 1

func outbox(t *testing.T, db store.Store) {
	ctx := t.Context()
	rows, policies := ReportRows(theDay)
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Rows: rows, Policies: policies})
	list, err := db.Reported(ctx, theDay)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v %v", list, err)
	}
	if a := list[0]; a.Domain != "acme.test" || a.Messages != 5 || a.Wanted != 5 || a.Rejected != 0 || a.OK != 3 || a.Policy != policies[0].Hash {
		t.Errorf("%+v", a)
	}
	if b := list[1]; b.Messages != 1 || b.Wanted != 0 {
		t.Errorf("%+v", b)
	}
	var counted []store.ReportRow
	if err := db.ReportRows(ctx, theDay, "acme.test", func(r *store.ReportRow) error { counted = append(counted, *r); return nil }); err != nil || len(counted) != 2 {
		t.Fatalf("%v %v", counted, err)
	}
	if counted[0].N != 3 || counted[0].IP != rows[0].IP || counted[1].N != 2 || counted[1].IP != rows[3].IP || counted[1].DKIM != rows[3].DKIM || counted[1].Override != "mailing_list" {
		t.Errorf("%+v", counted)
	}
	if p, ok, err := db.PolicyByHash(ctx, policies[0].Hash); !ok || err != nil || p.Text != policies[0].Text {
		t.Errorf("%+v %v %v", p, ok, err)
	}
	closeOnce(t, db, rows)
	reportsOnce(t, db)
	attempts(t, db)
	failures(t, db)
	suppressed(t, db)
	became(t, db)
}

// closeOnce: a day is closed once, and rows that come later are late and in no report.
func closeOnce(t *testing.T, db store.Store, rows []store.Row) {
	ctx := t.Context()
	pending(t, db, store.DayOpen)
	for i, want := range []bool{true, false} {
		if ok, err := db.CloseDay(ctx, theDay, 5, "mx2"); ok != want || err != nil {
			t.Errorf("close %d: %v %v", i, ok, err)
		}
	}
	pending(t, db, store.DayClosed)
	n := Claim(t, db, "i", "b")
	late := rows[:1:1]
	Ship(t, db, &n, &store.Batch{Rows: slices.Clone(late)})
	if list, err := db.Reported(ctx, theDay); err != nil || list[0].Messages != 5 {
		t.Errorf("%+v %v", list, err)
	}
	days, err := db.ReportDays(ctx, theDay-3)
	if err != nil || len(days) != 1 || days[0].State != store.DayClosed || days[0].Late != 1 || days[0].WaitedFor != "mx2" {
		t.Errorf("%+v %v", days, err)
	}
}

// pending wants theDay to be pending in a state, or not at all.
func pending(t *testing.T, db store.Store, state ...string) {
	t.Helper()
	var got []string
	days, err := db.PendingDays(t.Context(), theDay, theDay+1)
	for _, d := range days {
		got = append(got, d.State)
	}
	if before, _ := db.PendingDays(t.Context(), theDay-9, theDay); err != nil || !slices.Equal(got, state) || len(before) != 0 {
		t.Errorf("pending: %v and %v, want %v (%v)", got, before, state, err)
	}
}

// reportsOnce: there is one report about a domain and day, whoever adds it.
func reportsOnce(t *testing.T, db store.Store) {
	ctx := t.Context()
	r := store.Outgoing{Day: theDay, Domain: "acme.test", ID: "id1", File: "f", State: store.ReportBuilt, Records: 2, Messages: 5, Body: []byte("body"), BuiltAt: 6, NextAt: 100}
	again := r
	again.ID, again.Body = "id2", []byte("other")
	for _, x := range []store.Outgoing{r, again} {
		if err := db.AddReports(ctx, []store.Outgoing{x}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.DayBuilt(ctx, theDay, 5); err != nil {
		t.Fatal(err)
	}
	pending(t, db)
	got, ok, err := db.OutgoingReport(ctx, theDay, "acme.test")
	if !ok || err != nil || got.ID != "id1" || string(got.Body) != "body" {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	for now, want := range map[int64]int{99: 0, 100: 1} {
		if due, err := db.BuiltReports(ctx, now, 10); err != nil || len(due) != want {
			t.Errorf("at %d: %v %v", now, due, err)
		}
	}
	if err := db.Postpone(ctx, theDay, "acme.test", 200); err != nil {
		t.Fatal(err)
	}
	if due, _ := db.BuiltReports(ctx, 199, 10); len(due) != 0 {
		t.Error("postponed, and due")
	}
}

func attempts(t *testing.T, db store.Store) {
	ctx := t.Context()
	to := []store.Delivery{{URI: "mailto:a@acme.test", Address: "a@acme.test", State: store.DeliveryDue, NextAt: 300, Token: "t1"},
		{URI: "mailto:b@x.test", Address: "b@x.test", State: store.DeliveryRefused, Reply: "no consent", NextAt: 300, Token: "t2"}}
	for range 2 {
		if err := db.SealReport(ctx, theDay, "acme.test", "", to); err != nil {
			t.Fatal(err)
		}
	}
	due, err := db.DueDeliveries(ctx, 300, 10)
	if err != nil || len(due) != 1 || due[0].Address != "a@acme.test" {
		t.Fatalf("%+v %v", due, err)
	}
	for _, c := range []struct {
		now  int64
		want bool
	}{{299, false}, {300, true}, {301, false}, {900, true}} { // the lease of the first ended at 900
		if ok, err := db.Lease(ctx, due[0], c.now, c.now+600); ok != c.want || err != nil {
			t.Errorf("lease at %d: %v %v", c.now, ok, err)
		}
	}
	x, ok, err := db.DeliveryOf(ctx, "t1")
	if !ok || err != nil || x.Attempts != 2 || x.FirstAt != 300 {
		t.Fatalf("%+v %v %v", x, ok, err)
	}
	x.State, x.SentAt = store.DeliverySent, 1000
	if err := db.EndAttempt(ctx, x); err != nil {
		t.Fatal(err)
	}
	done, err := db.Outgoing(ctx, store.ReportFilter{State: store.ReportDone})
	if err != nil || len(done) != 1 || done[0].Domain != "acme.test" || done[0].Body != nil {
		t.Errorf("%+v %v", done, err)
	}
	if n, err := db.Resend(ctx, theDay, "acme.test", 2000); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if due, err := db.DueDeliveries(ctx, 2000, 10); err != nil || len(due) != 1 || due[0].Attempts != 0 {
		t.Errorf("%+v %v", due, err)
	}
	if err := db.TrimReports(ctx, theDay+1, theDay+1); err != nil {
		t.Fatal(err)
	}
	if left, err := db.Outgoing(ctx, store.ReportFilter{}); err != nil || len(left) != 0 {
		t.Errorf("%+v %v", left, err)
	}
}

func suppressed(t *testing.T, db store.Store) {
	ctx := t.Context()
	s := store.Suppression{Target: "a@acme.test", Until: 9, Why: "bounced", Hits: 2}
	for range 2 {
		if err := db.Suppress(ctx, s); err != nil {
			t.Fatal(err)
		}
		s.Hits++
	}
	s.Hits--
	if list, err := db.Suppressions(ctx); err != nil || len(list) != 1 || list[0] != s {
		t.Errorf("%+v %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if ok, err := db.Lift(ctx, s.Target); ok != want || err != nil {
			t.Errorf("%v %v", ok, err)
		}
	}
	if err := db.SawOK(ctx, []string{"a.test"}, 7); err != nil {
		t.Fatal(err)
	}
	if err := db.SawOK(ctx, []string{"a.test"}, 5); err != nil {
		t.Fatal(err)
	}
	if at, err := db.SeenOK(ctx, "a.test"); at != 7 || err != nil {
		t.Errorf("%d %v", at, err)
	}
}

// choices: what was said of a source is kept, replaced, removed and forgotten.
func choices(t *testing.T, db store.Store) {
	ctx := t.Context()
	c := store.SourceChoice{Domain: "acme.test", Kind: "net", Source: "192.0.2.0/24", Ours: true, At: 7, By: "ann"}
	other := store.SourceChoice{Domain: "b.acme.test", Kind: "dkim", Source: "bulk.test", At: 8, By: "token"}
	for _, x := range []store.SourceChoice{{Domain: c.Domain, Kind: c.Kind, Source: c.Source, At: 3, By: "bob"}, c, other} {
		if err := db.ChooseSource(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := db.SourceChoices(ctx); err != nil || len(list) != 2 || list[0] != c || list[1] != other {
		t.Errorf("%+v %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if ok, err := db.DropChoice(ctx, c.Domain, c.Kind, c.Source); ok != want || err != nil {
			t.Errorf("%v %v, want %v", ok, err, want)
		}
	}
	if _, err := db.Forget(ctx, store.Forgotten{Domain: "acme.test"}); err != nil {
		t.Fatal(err)
	}
	if list, err := db.SourceChoices(ctx); err != nil || len(list) != 0 {
		t.Errorf("after acme.test was forgotten: %+v %v", list, err)
	}
}

func inbox(t *testing.T, db store.Store) {
	ctx := t.Context()
	choices(t, db)
	r := store.Inbound{Kind: "aggregate", Org: "rx.test", ReportID: "1", Domain: "acme.test", Begin: theDay.Start(), End: theDay.End() - 1000, Records: 2, Messages: 5, Meta: "{}", Digest: [16]byte{1}, Proven: true}
	source := store.Source{Domain: "acme.test", Day: theDay, Kind: "dkim", Source: "acme.test", IP: "192.0.2.1", Messages: 5, DKIM: 4, DMARC: 4, Rejected: 1}
	read := func(r store.Inbound) string {
		t.Helper()
		id, err := db.BeginInbound(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.AddInboundRows(ctx, id, []store.InboundRow{{N: 1, IP: "192.0.2.1", Messages: 4, Record: "{}"}, {N: 2, IP: "192.0.2.2", Messages: 1, Record: "{}"}}); err != nil {
			t.Fatal(err)
		}
		var sources []store.Source
		if r.Proven {
			sources = append(sources, source)
		}
		outcome, err := db.EndInbound(ctx, id, r, sources)
		if err != nil {
			t.Fatal(err)
		}
		return outcome
	}
	unproven := r
	unproven.Proven = false
	differs := r
	differs.Digest = [16]byte{2}
	for i, c := range []struct {
		r    store.Inbound
		want string
	}{{unproven, store.InboundNew}, {r, store.InboundNew}, {r, store.InboundKnown}, {unproven, store.InboundKnown}, {differs, store.InboundDiffers}} {
		if got := read(c.r); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
	readAtOnce(t, db, r)
	list, err := db.InboundReports(ctx, store.InboundFilter{Domain: "acme.test"})
	if err != nil || len(list) != 1 || !list[0].Proven || list[0].Digest != r.Digest {
		t.Fatalf("%+v %v", list, err)
	}
	n := 0
	if err := db.InboundRows(ctx, list[0].ID, 0, 0, func(x *store.InboundRow) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
	received(t, db, list[0])
	sources, err := db.Sources(ctx, "acme.test", theDay, theDay)
	if err != nil || len(sources) != 1 || sources[0] != source {
		t.Errorf("%+v %v", sources, err)
	}
	topSources(t, db)
	if id, err := db.BeginInbound(ctx, 10); err != nil || db.DropInbound(ctx, id) != nil {
		t.Error(err)
	}
	if err := db.TrimInbound(ctx, 100, 100, theDay+1); err != nil {
		t.Fatal(err)
	}
	if names, err := db.InboundDomains(ctx); err != nil || len(names) != 0 {
		t.Error(fmt.Sprint(names, err))
	}
}

// received: reports are listed with pages and bounds, one is found, and its reporters are counted; what was not
// kept is listed.
func received(t *testing.T, db store.Store, one store.Inbound) {
	ctx := t.Context()
	if x, ok, err := db.InboundReport(ctx, one.ID); err != nil || !ok || x != one {
		t.Errorf("%+v %v %v", x, ok, err)
	}
	if _, ok, err := db.InboundReport(ctx, 1<<40); ok || err != nil {
		t.Errorf("a report that is not there: %v %v", ok, err)
	}
	var rows []int64
	if err := db.InboundRows(ctx, one.ID, 1, 5, func(x *store.InboundRow) error { rows = append(rows, x.N); return nil }); err != nil || !slices.Equal(rows, []int64{2}) {
		t.Errorf("after row 1: %v %v", rows, err)
	}
	if err := db.InboundRows(ctx, one.ID, 0, 1, func(x *store.InboundRow) error { rows = append(rows, x.N); return nil }); err != nil || !slices.Equal(rows, []int64{2, 1}) {
		t.Errorf("the first: %v %v", rows, err)
	}
	for _, c := range []struct {
		name string
		f    store.InboundFilter
		want int
	}{
		{"all", store.InboundFilter{}, 7}, {"a domain above", store.InboundFilter{Domain: "test"}, 7}, {"busy.test", store.InboundFilter{Domain: "busy.test"}, 6}, {"a part of the name", store.InboundFilter{Domain: "cme.test"}, 0},
		{"before it began", store.InboundFilter{Domain: "acme.test", Until: one.Begin}, 0}, {"before", store.InboundFilter{Domain: "acme.test", Before: one.ID}, 0},
		{"its reporter", store.InboundFilter{Domain: "acme.test", Org: one.Org}, 1}, {"another reporter", store.InboundFilter{Org: "other.test"}, 0}, {"three", store.InboundFilter{Limit: 3}, 3},
	} {
		if list, err := db.InboundReports(ctx, c.f); err != nil || len(list) != c.want {
			t.Errorf("%s: %d reports, want %d, %v", c.name, len(list), c.want, err)
		}
	}
	const day = 24 * 3600 * 1000
	f := store.InboundFilter{Domain: "acme.test"}
	if list, err := db.Reporters(ctx, f, day); err != nil || len(list) != 1 || list[0] != (store.Reporter{Org: one.Org, Reports: 1, Messages: one.Messages, LastRead: one.ReadAt}) {
		t.Errorf("%+v %v", list, err)
	}
	if n, err := db.InboundTotals(ctx, f, day); err != nil || n != (store.InboundTotals{Reports: 1, Reporters: 1, LastRead: one.ReadAt, Meta: one.Meta}) {
		t.Errorf("%+v %v", n, err)
	}
	if n, err := db.InboundTotals(ctx, f, 1); err != nil || n != (store.InboundTotals{Long: 1, LastRead: one.ReadAt}) {
		t.Errorf("too long: %+v %v", n, err)
	}
	if n, err := db.InboundTotals(ctx, store.InboundFilter{Domain: "none.test"}, day); err != nil || n != (store.InboundTotals{}) {
		t.Errorf("none: %+v %v", n, err)
	}
	problems(t, db)
}

// problems: the newest reports that were not kept are listed, and no more than a bound.
func problems(t *testing.T, db store.Store) {
	ctx := t.Context()
	list := make([]store.InboundProblem, store.KeptProblems+5)
	for i := range list {
		list[i] = store.InboundProblem{At: int64(i), Result: "refused", Why: "it is not XML", Source: "mail " + fmt.Sprint(i), Domain: "b.acme.test"}
	}
	if err := db.NoteProblems(ctx, list); err != nil {
		t.Fatal(err)
	}
	if got, err := db.InboundProblems(ctx); err != nil || len(got) != store.KeptProblems || got[0] != list[len(list)-1] {
		t.Errorf("%d problems, %v", len(got), err)
	}
	if _, err := db.Forget(ctx, store.Forgotten{Domain: "b.acme.test"}); err != nil {
		t.Fatal(err)
	}
	if got, err := db.InboundProblems(ctx); err != nil || len(got) != 0 {
		t.Errorf("after the domain was forgotten: %d, %v", len(got), err)
	}
}

// readAtOnce: several processes read the same reports, and others that count for the same
// sources, at the same time.
func readAtOnce(t *testing.T, db store.Store, like store.Inbound) {
	ctx := t.Context()
	const readers, reports, services = 4, 6, 30
	like.Domain = "busy.test"
	var made atomic.Int64
	messages := int64(0)
	var all sync.WaitGroup
	for reader := range readers {
		all.Go(func() {
			for n := range reports {
				r := like
				r.ReportID = fmt.Sprint((n + reader) % reports)
				var sources []store.Source
				for i := range services {
					sources = append(sources, store.Source{Domain: r.Domain, Day: theDay, Kind: "dkim", Source: fmt.Sprint(i * (2*reader + 1) % services), Messages: 1})
				}
				id, err := db.BeginInbound(ctx, 10)
				if err != nil {
					t.Error(err)
					return
				}
				outcome, err := db.EndInbound(ctx, id, r, sources)
				if err != nil {
					t.Error(err)
				}
				if outcome == store.InboundNew {
					made.Add(1)
				}
			}
		})
	}
	all.Wait()
	sources, err := db.Sources(ctx, like.Domain, theDay, theDay)
	for _, s := range sources {
		messages += s.Messages
	}
	if made.Load() != reports || messages != reports*services || err != nil {
		t.Errorf("%d reports are new, want %d; %d messages, want %d (%v)", made.Load(), reports, messages, reports*services, err)
	}
}

// forgetReports: nothing of a domain stays in reports; those that hold an address are built
// again before they are sent, and lose their octets after.
func forgetReports(t *testing.T, db store.Store) {
	ctx := t.Context()
	rows, policies := ReportRows(theDay)
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Rows: rows, Policies: policies})
	if _, err := db.CloseDay(ctx, theDay, 1, ""); err != nil {
		t.Fatal(err)
	}
	for i, state := range []string{store.ReportBuilt, store.ReportDone} {
		r := store.Outgoing{Day: theDay, Domain: fmt.Sprintf("d%d.acme.test", i), ID: fmt.Sprint(i), State: state, Body: []byte("x")}
		if err := db.AddReports(ctx, []store.Outgoing{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.DayBuilt(ctx, theDay, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Forget(ctx, store.Forgotten{Net: netip.MustParsePrefix("192.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	days, err := db.ReportDays(ctx, theDay)
	left, err2 := db.Outgoing(ctx, store.ReportFilter{})
	done, _, err3 := db.OutgoingReport(ctx, theDay, "d1.acme.test")
	if err != nil || err2 != nil || err3 != nil || days[0].State != store.DayClosed || len(left) != 1 || len(done.Body) != 0 {
		t.Errorf("%+v %+v %+v %v %v %v", days, left, done, err, err2, err3)
	}
	take := func(want bool) {
		t.Helper()
		limit := store.FailureLimit{Domain: "d1.acme.test", Kind: "a", At: theDay.Start(), Most: 1, Every: time.Hour, Waiting: 9}
		if ok, err := db.QueueFailure(ctx, limit, []store.FailureReport{failureTo("d1.acme.test", "tf", theDay.Start())}); ok != want || err != nil {
			t.Errorf("%v %v", ok, err)
		}
	}
	take(true)
	take(false)
	if _, err := db.Forget(ctx, store.Forgotten{Domain: "acme.test"}); err != nil {
		t.Fatal(err)
	}
	if left, err := db.Outgoing(ctx, store.ReportFilter{}); err != nil || len(left) != 0 {
		t.Errorf("%+v %v", left, err)
	}
	if _, ok, err := db.DeliveryOf(ctx, "tf"); ok || err != nil {
		t.Errorf("a failure report is still known: %v %v", ok, err)
	}
	take(true)
	if _, err := db.Forget(ctx, store.Forgotten{Net: netip.MustParsePrefix("192.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	if list, err := db.Failures(ctx, store.ReportFilter{}); err != nil || len(list) != 0 {
		t.Errorf("failure reports still wait: %+v %v", list, err)
	}
}
