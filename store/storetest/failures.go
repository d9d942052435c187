package storetest

import (
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
		if ok, err := db.TakeFailure(ctx, c.domain, c.kind, at(c.at), most, every); ok != c.want || err != nil {
			t.Errorf("%s: %v %v", c.why, ok, err)
		}
	}
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			ok, err := db.TakeFailure(ctx, "busy.test", string(rune('a'+i)), at(0), most, every)
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
	if ok, err := db.TakeFailure(ctx, "bulk.test", "d", at(26*time.Hour), most, every); !ok || err != nil {
		t.Errorf("after the trim: %v %v", ok, err)
	}
}

func failureSent(t *testing.T, db store.Store, sent int64) {
	ctx := t.Context()
	x := store.Delivery{Day: theDay, Domain: "acme.test", Address: "f@acme.test", Token: "t9", SentAt: sent}
	if err := db.AddFailure(ctx, x); err != nil {
		t.Fatal(err)
	}
	got, ok, err := db.DeliveryOf(ctx, "t9")
	if !ok || err != nil || got.State != store.DeliverySent || got.Address != x.Address || got.SentAt != x.SentAt {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	if list, err := db.Deliveries(ctx, theDay, "acme.test"); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if n, err := db.Resend(ctx, theDay, "acme.test", sent); n != 0 || err != nil {
		t.Errorf("%d are sent again, %v", n, err)
	}
}
