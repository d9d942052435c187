package server

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestClockJump: a clock that jumps years ahead removes nothing. When it comes back, sweeps continue as
// before; when it stays so for a day, it is believed. A restart begins to wait again.
func TestClockJump(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := storetest.Claim(t, db, "i", "b")
	storetest.Ship(t, db, &n, &store.Batch{Rows: storetest.Rows(100, 4, 1)})
	now := storetest.Now
	log := &listenertest.Log{}
	start := func() *keeper {
		return &keeper{log: slog.New(slog.NewTextHandler(log, nil)), now: func() time.Time { return now }, config: conf.Store{History: conf.Duration(30 * 24 * time.Hour), IP: "full"}}
	}
	h := start()
	days := func() int {
		list, err := db.Days(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	sweep := func(times int) {
		for range times {
			h.sweepOnce(t.Context(), db)
			now = now.Add(time.Minute)
		}
	}
	all := days()
	sweep(3)
	now = now.AddDate(10, 0, 0)
	sweep(confirmAfter)
	if days() != all || h.doubt.ahead.Load() == nil || strings.Count(log.String(), "the clock may be wrong") != 1 {
		t.Errorf("after the jump: %d of %d days, in doubt: %v\n%s", days(), all, h.doubt.ahead.Load(), log)
	}
	now = storetest.Now.Add(25 * time.Hour).Add(-time.Hour)
	sweep(1)
	if days() != all || h.doubt.ahead.Load() != nil {
		t.Errorf("back again: %d of %d days, in doubt: %v", days(), all, h.doubt.ahead.Load())
	}
	now = now.AddDate(0, 2, 0)
	sweep(confirmAfter)
	h = start()
	sweep(confirmAfter)
	if days() != all {
		t.Errorf("after a restart: %d of %d days", days(), all)
	}
	sweep(1)
	if days() != 0 || h.doubt.ahead.Load() != nil {
		t.Errorf("confirmed: %d days are left, in doubt: %v", days(), h.doubt.ahead.Load())
	}
	sweep(1)
	if h.doubt.ahead.Load() != nil {
		t.Error("the clock is doubted again")
	}
}

// TestClockOfOne: while other daemons sweep with the right clock, the wrong one is never believed.
func TestClockOfOne(t *testing.T) {
	var d doubt
	swept := store.Millis(storetest.Now)
	for i := range 10 * confirmAfter {
		if d.step(swept, storetest.Now.AddDate(10, 0, 0).Add(time.Duration(i)*time.Minute)) {
			t.Fatalf("believed after %d sweeps", i)
		}
		if i%10 == 0 {
			swept += (10 * time.Minute).Milliseconds()
		}
	}
}
