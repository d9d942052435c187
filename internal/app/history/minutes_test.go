package history

import (
	"context"
	"errors"
	"testing"
	"time"

	"postseal/store"
)

// counting is a history that counts how often it is asked, and has n accepted messages in each minute.
type counting struct {
	store.Reader
	asked []int64 // the minutes
	n     int
	err   error
	slow  int // how many it answers before it does not any more; 0: all
}

func (c *counting) Hours(ctx context.Context, d store.Day, q *store.Query) ([]store.Hour, error) {
	c.asked = append(c.asked, q.Since)
	if c.slow > 0 && len(c.asked) > c.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if q.Until != q.Since+60_000 && q.Until != q.Since+3_600_000 || d != store.DayOf(q.Since) {
		return nil, errors.New("neither a minute nor an hour")
	}
	return []store.Hour{{Start: q.Since - q.Since%3_600_000, Count: [4]int{c.n, 0, 1, 0}}}, c.err
}

var noon = time.Date(2026, 11, 30, 0, 12, 7, 0, time.UTC) // the hour begins on the day before

// TestRecent: the first time each minute of the hour is read, and later only what may have changed.
func TestRecent(t *testing.T) {
	db, recent := &counting{n: 3}, &Recent{}
	read := func(now time.Time) []Bar {
		t.Helper()
		db.asked = nil
		list, err := recent.Read(t.Context(), db, now, time.Minute)
		if err != nil || len(list) != MinuteCount {
			t.Fatalf("%d minutes, %v", len(list), err)
		}
		return list
	}
	first := read(noon)
	if len(db.asked) != MinuteCount || first[0].Start != time.Date(2026, 11, 29, 23, 13, 0, 0, time.UTC) || first[59].Start != noon.Truncate(time.Minute) || first[59].Counts != [4]int{3, 0, 1, 0} {
		t.Errorf("%d questions, %+v", len(db.asked), first)
	}
	if read(noon.Add(time.Second)); len(db.asked) != 2 {
		t.Errorf("a second later %d minutes are read again, want this one and the one before", len(db.asked))
	}
	db.n = 5
	for i := range 10 {
		later := read(noon.Add(time.Duration(i+1) * time.Minute))
		if n := len(db.asked); n > 9 {
			t.Errorf("%d minutes later %d minutes are read", i+1, n)
		}
		if later[59].Counts[0] != 5 {
			t.Errorf("%+v", later[59])
		}
	}
	for _, b := range read(noon.Add(11 * time.Minute)) { // what came late is seen within ten minutes
		if b.Counts[0] != 5 {
			t.Errorf("%v: %v", b.Start, b.Counts)
		}
	}
}

// TestRecentFails: a history that fails is an error; one that is slow gives the newest minutes, and the others later.
func TestRecentFails(t *testing.T) {
	db, recent := &counting{err: errors.New("disk on fire")}, &Recent{}
	if _, err := recent.Read(t.Context(), db, noon, time.Minute); err == nil {
		t.Error("no error")
	}
	db = &counting{slow: 20}
	list, err := recent.Read(t.Context(), db, noon, time.Millisecond)
	if err != nil || len(list) > 20 {
		t.Fatalf("%d minutes, %v", len(list), err)
	}
	db.slow = 0
	if list, err = recent.Read(t.Context(), db, noon, time.Minute); err != nil || len(list) != MinuteCount {
		t.Errorf("%d minutes, %v", len(list), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	db.slow, db.asked = 1, make([]int64, 1)
	if _, err = (&Recent{}).Read(ctx, db, noon, time.Minute); err == nil {
		t.Error("who asks is gone, and there is no error")
	}
}

// TestToday: the hours of today that are over are read once, then each once an hour; this hour is what the minutes have.
func TestToday(t *testing.T) {
	now := time.Date(2026, 11, 30, 3, 59, 7, 0, time.UTC)
	db, recent := &counting{n: 2}, &Recent{}
	today := func(now time.Time) (sums [4]int, complete bool) {
		t.Helper()
		minutes, err := recent.Read(t.Context(), db, now, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		db.asked = nil
		if sums, complete, err = recent.Today(t.Context(), db, now, minutes, time.Minute); err != nil {
			t.Fatal(err)
		}
		return sums, complete
	}
	if sums, complete := today(now); sums != [4]int{2*60 + 2*3, 0, 60 + 3, 0} || !complete || len(db.asked) != 3 {
		t.Errorf("%v %v, %d questions", sums, complete, len(db.asked))
	}
	if _, _ = today(now.Add(10 * time.Second)); len(db.asked) != 0 {
		t.Errorf("%d hours are read again", len(db.asked))
	}
	if sums, _ := today(now.Add(2 * time.Minute)); sums != [4]int{2*2 + 2*4, 0, 2 + 4, 0} || len(db.asked) != 1 { // the hour that is over since
		t.Errorf("%v, %d questions", sums, len(db.asked))
	}
	asked := 0
	for i := range 60 {
		today(now.Add(time.Duration(i+10) * time.Minute))
		asked += len(db.asked)
	}
	if asked < 4 || asked > 8 {
		t.Errorf("%d hours are read in an hour", asked)
	}
	db.slow, db.asked = 1, nil
	sums, complete, err := (&Recent{}).Today(t.Context(), db, now, make([]Bar, MinuteCount), time.Millisecond)
	if err != nil || complete || sums[0] != 2 {
		t.Errorf("a slow history: %v %v %v", sums, complete, err)
	}
}
