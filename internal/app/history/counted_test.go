package history

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// slowStore counts what is asked; each question takes a second.
type slowStore struct {
	store.Store
	asked, ended atomic.Int32
	rows         []store.Row // changed between questions only
}

func (s *slowStore) Hours(ctx context.Context, d store.Day, q *store.Query) ([]store.Hour, error) {
	s.asked.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		s.ended.Add(1)
		return nil, ctx.Err()
	}
	h := store.Hour{Start: q.Since}
	for _, r := range s.rows {
		if r.Millis >= q.Since && r.Millis < q.Until {
			h.Count[0]++
		}
	}
	return []store.Hour{h}, nil
}
func (s *slowStore) Ship(_ context.Context, _ store.Node, _, _ store.Position, b *store.Batch) (d store.Shipped, err error) {
	s.rows = append(s.rows, b.Rows...)
	return d, nil
}
func (s *slowStore) Drop(context.Context, store.Day) error { s.rows = nil; return nil }
func (s *slowStore) Forget(context.Context, store.Forgotten) (int64, error) {
	s.rows = nil
	return 0, nil
}
func (s *slowStore) Close() error { return nil }

// TestCounted: hours that are over are counted once; what changes them is seen at once.
func TestCounted(t *testing.T) {
	early := func() (store.Day, int64) {
		d := store.DayOf(store.Millis(time.Now())) - 2 // its last hour is over
		return d, d.Start() + 3600e3
	}
	with := func(t *testing.T, test func(s *slowStore, c *Counted, hours func(want, asked int))) {
		synctest.Test(t, func(t *testing.T) {
			s := &slowStore{}
			c := NewCounted(s, time.Now)
			defer c.Close()
			test(s, c, func(want, asked int) {
				t.Helper()
				d, _ := early()
				h, err := c.Hours(t.Context(), d, &store.Query{})
				if err != nil || len(h) != 1 || h[0].Count[0] != want || int(s.asked.Load()) != asked {
					t.Errorf("%+v, %v; asked %d times, want %d of %d", h, err, s.asked.Load(), want, asked)
				}
			})
		})
	}
	ship := func(c *Counted, at int64) {
		c.Ship(context.Background(), store.Node{}, store.Position{}, store.Position{}, &store.Batch{Rows: []store.Row{{Millis: at}}}) //nolint:errcheck // it cannot fail
	}
	t.Run("once", func(t *testing.T) {
		with(t, func(_ *slowStore, _ *Counted, hours func(int, int)) { hours(0, 1); hours(0, 1) })
	})
	t.Run("again after some time", func(t *testing.T) {
		with(t, func(_ *slowStore, _ *Counted, hours func(int, int)) {
			hours(0, 1)
			time.Sleep(countedLast)
			hours(0, 2)
		})
	})
	t.Run("a row that comes late", func(t *testing.T) {
		with(t, func(_ *slowStore, c *Counted, hours func(int, int)) {
			hours(0, 1)
			_, at := early()
			ship(c, at)
			hours(1, 2)
			ship(c, store.Millis(time.Now()))
			hours(1, 2)
		})
	})
	t.Run("forgotten and dropped", func(t *testing.T) {
		with(t, func(_ *slowStore, c *Counted, hours func(int, int)) {
			d, at := early()
			ship(c, at)
			hours(1, 1)
			c.Forget(context.Background(), store.Forgotten{}) //nolint:errcheck // it cannot fail
			hours(0, 2)
			c.Drop(context.Background(), d) //nolint:errcheck // it cannot fail
			hours(0, 3)
		})
	})
	t.Run("a caller without time", func(t *testing.T) {
		with(t, func(s *slowStore, c *Counted, hours func(int, int)) {
			d, _ := early()
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if _, err := c.Hours(ctx, d, &store.Query{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			time.Sleep(2 * time.Second)
			hours(0, 1)
			for i := range store.Day(maxLeft + 3) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				c.Hours(ctx, d-1-i, &store.Query{}) //nolint:errcheck // it ends with ctx
				cancel()
			}
			time.Sleep(2 * time.Second)
			if s.ended.Load() != 3 {
				t.Errorf("%d counts ended, %d continue", s.ended.Load(), maxLeft)
			}
		})
	})
	t.Run("bounded", func(t *testing.T) {
		with(t, func(_ *slowStore, c *Counted, _ func(int, int)) {
			d, _ := early()
			for i := range store.Day(2 * maxCounted) {
				c.Hours(context.Background(), d-i, &store.Query{}) //nolint:errcheck // it cannot fail
			}
			if len(c.parts) > maxCounted {
				t.Errorf("%d counts are kept", len(c.parts))
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &slowStore{}
			c := NewCounted(s, time.Now)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			d, _ := early()
			c.Hours(ctx, d, &store.Query{}) //nolint:errcheck // it ends with ctx
			c.Close()
			if s.ended.Load() != 1 {
				t.Error("a count continues")
			}
		})
	})
}

// TestCountedFigures: the figures of a search are the same with and without what is kept, at any
// hour, and the second time.
func TestCountedFigures(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Fill(t, db, 3000)
	var now time.Time
	c := NewCounted(db, func() time.Time { now = now.Add(worthwhile); return now }) // each count is worthwhile
	defer c.Close()
	for _, hours := range []time.Duration{-30, -12, -1, 0, 2, 40} {
		now = storetest.Now.Add(hours*time.Hour + 20*time.Minute)
		for _, text := range []string{"", "applied:reject", "author:a1.test", "since:30h", "since:3d until:26h", "since:2h"} {
			q, err := store.ParseQuery(text, storetest.Now, nil)
			if err != nil {
				t.Fatal(err)
			}
			days, err := db.Days(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range days {
				equal(t, db, c, d, q)
				equal(t, db, c, d, q)
			}
		}
	}
}

func equal(t *testing.T, db store.Store, c *Counted, d store.Day, q *store.Query) {
	t.Helper()
	want, err := db.Hours(t.Context(), d, q)
	got, err2 := c.Hours(t.Context(), d, q)
	if err != nil || err2 != nil || !slices.Equal(got, want) {
		t.Errorf("%v %q: %v, %v\n%v\n%v", d, q.Text, err, err2, got, want)
	}
	for _, f := range store.TopFields {
		want, err := db.Top(t.Context(), d, q, f, 1000000)
		got, err2 := c.Top(t.Context(), d, q, f, 1000000)
		if err != nil || err2 != nil || !slices.Equal(got, want) {
			t.Errorf("%v %q %v: %v, %v, %d values, want %d", d, q.Text, f, err, err2, len(got), len(want))
		}
	}
}
