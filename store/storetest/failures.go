package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/store"
)

// failures: failure reports are counted by day and by kind, over midnight too, and whoever asks;
// one that was sent is known by its token, and is not a delivery of an aggregate report.
func failures(t *testing.T, db store.Store) {
	ctx := t.Context()
	const most, every = 3, time.Hour
	at := func(d time.Duration) int64 { return theDay.Start() + d.Milliseconds() }
	take := func(domain, kind string, at int64) (bool, error) {
		return db.QueueFailure(ctx, store.FailureLimit{Domain: domain, Kind: kind, At: at, Most: most, Every: every, Waiting: 100}, nil)
	}
	for _, c := range []struct {
		why, domain, kind string
		at                time.Duration
		want              bool
	}{
		{"the first", "acme.test", "a", 23 * time.Hour, true},
		{"the same kind, too soon", "acme.test", "a", 23*time.Hour + 59*time.Minute, false},
		{"another kind", "acme.test", "b", 23*time.Hour + 59*time.Minute, true},
		{"the same kind, after an hour", "acme.test", "a", 24 * time.Hour, true},
		{"another kind that day", "acme.test", "b", 24*time.Hour + 30*time.Minute, false},
		{"a second and a third of the day", "acme.test", "c", 25 * time.Hour, true},
		{"a second and a third of the day", "acme.test", "b", 25 * time.Hour, true},
		{"a fourth", "acme.test", "d", 26 * time.Hour, false},
		{"another domain", "bulk.test", "d", 26 * time.Hour, true},
		{"the next day", "acme.test", "d", 48 * time.Hour, true},
	} {
		if ok, err := take(c.domain, c.kind, at(c.at)); ok != c.want || err != nil {
			t.Errorf("%s: %v %v", c.why, ok, err)
		}
	}
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			ok, err := take("busy.test", string(rune('a'+i)), at(0))
			if err != nil {
				t.Error(err)
			}
			if ok {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != most {
		t.Errorf("%d of 12 at once, want %d", taken.Load(), most)
	}
	failureSent(t, db, at(0))
	if err := db.TrimReports(ctx, theDay+3, theDay+3); err != nil {
		t.Fatal(err)
	}
	if ok, err := take("bulk.test", "d", at(26*time.Hour)); !ok || err != nil {
		t.Errorf("after the trim: %v %v", ok, err)
	}
}

// failureTo is a failure report about a domain that is due at a time.
func failureTo(domain, token string, at int64) store.FailureReport {
	return store.FailureReport{Delivery: store.Delivery{Day: store.DayOf(at), Domain: domain, URI: "failure:" + token, Address: "f@acme.test", NextAt: at, Token: token},
		Asked: "mailto:f@acme.test", MadeAt: at, Ref: "REF", Type: "dmarc", Incidents: 2, Body: []byte("From: x\r\n")}
}

// failureSent: a failure report waits, is leased by one process, and loses its text once it was sent.
// It is not a delivery of an aggregate report, and does not hold one up.
func failureSent(t *testing.T, db store.Store, at int64) {
	ctx := t.Context()
	limit := store.FailureLimit{Domain: "acme.test", Kind: "sent", At: at, Most: 9, Every: time.Hour, Waiting: 2}
	if ok, err := db.QueueFailure(ctx, limit, []store.FailureReport{failureTo("acme.test", "t8", at), failureTo("acme.test", "t9", at)}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	limit.Kind = "full"
	if ok, err := db.QueueFailure(ctx, limit, []store.FailureReport{failureTo("acme.test", "t7", at)}); ok || !errors.Is(err, store.ErrFull) {
		t.Errorf("a third that waits: %v %v", ok, err)
	}
	due, err := db.DueFailures(ctx, at, 10)
	if err != nil || len(due) != 2 || string(due[0].Body) != "From: x\r\n" || due[0].Asked != "mailto:f@acme.test" || due[0].Incidents != 2 || due[0].MadeAt != at {
		t.Fatalf("%+v %v", due, err)
	}
	if list, err := db.DueDeliveries(ctx, at, 10); err != nil || len(list) != 0 {
		t.Errorf("due as aggregate reports: %+v %v", list, err)
	}
	for i, want := range []bool{true, false} {
		if ok, err := db.Lease(ctx, due[0].Delivery, at, at+1000); ok != want || err != nil {
			t.Errorf("lease %d: %v %v", i, ok, err)
		}
	}
	if left, err := db.DueFailures(ctx, at+999, 10); err != nil || len(left) != 1 || left[0].Token != "t9" {
		t.Errorf("%+v %v", left, err)
	}
	if left, err := db.DueFailures(ctx, at+1000, 10); err != nil || len(left) != 2 {
		t.Errorf("after the lease: %+v %v", left, err)
	}
	failureDone(t, db, due[0].Delivery, at)
}

func failureDone(t *testing.T, db store.Store, x store.Delivery, at int64) {
	ctx := t.Context()
	x.State, x.SentAt = store.DeliverySent, at
	if err := db.EndAttempt(ctx, x); err != nil {
		t.Fatal(err)
	}
	if n, err := db.FailureCounts(ctx, theDay); err != nil || n != (store.OutgoingCounts{Waiting: 1, Sent: 1, NextAt: at}) {
		t.Errorf("%+v %v", n, err)
	}
	if n, err := db.FailureCounts(ctx, theDay+1); err != nil || n != (store.OutgoingCounts{}) {
		t.Errorf("of a day without failure reports: %+v %v", n, err)
	}
	if list, err := db.Failures(ctx, store.ReportFilter{Since: theDay + 1}); err != nil || len(list) != 0 {
		t.Errorf("since a later day: %+v %v", list, err)
	}
	for state, want := range map[string]int{"": 2, store.ReportSealed: 1, store.ReportDone: 1, store.OutWaiting: 1, store.OutSent: 1, store.OutFailed: 0, store.OutSuppressed: 0, store.ReportNone: 0, "x' OR '1": 0} {
		list, err := db.Failures(ctx, store.ReportFilter{Domain: "acme.test", Day: theDay, State: state})
		if err != nil || len(list) != want {
			t.Errorf("%q: %+v %v", state, list, err)
		}
		if state == store.ReportDone && len(list) == 1 && len(list[0].Body) != 0 {
			t.Errorf("its text is kept: %q", list[0].Body)
		}
	}
	got, ok, err := db.DeliveryOf(ctx, x.Token)
	if !ok || err != nil || got.State != store.DeliverySent || got.Address != x.Address || got.SentAt != x.SentAt {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	if list, err := db.Deliveries(ctx, theDay, "acme.test"); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if n, err := db.Resend(ctx, theDay, "acme.test", at); n != 0 || err != nil {
		t.Errorf("%d are sent again, %v", n, err)
	}
}
