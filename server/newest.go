package server

import (
	"context"
	"sync/atomic"
	"time"

	"postseal/server/web/ui"
	"postseal/store"
)

// newestRows is how many verdicts are in memory for pages that are being read: at 50 per second, those of
// 20 seconds. unstoredFor is how long a verdict may be on its way to the history; one that is older was lost.
const (
	newestRows  = 1024
	unstoredFor = time.Minute
)

// newest are the last verdicts, numbered in their order, the number of each modulo newestRows being its
// place. They are of one daemon: those of others in a fleet are in the database only.
type newest struct {
	seq   int64 // of the last one: begins with the time, so that no number of an earlier daemon is one of ours
	began int64 // seq of the start
	first int64
	rows  []store.Row
	saved []bool // whether the history has it
	// shipping changes when rows are written to the history, before and after: it is odd in between.
	shipping atomic.Int64
}

func (n *newest) add(r *store.Row) {
	n.seq++
	if n.rows == nil {
		n.rows, n.saved, n.first = make([]store.Row, newestRows), make([]bool, newestRows), n.seq
	}
	n.first = max(n.first, n.seq-newestRows+1)
	n.rows[n.seq%newestRows], n.saved[n.seq%newestRows] = *r, false
}

// between returns the verdicts after one number and up to another. missing is nil if they are complete.
func (n *newest) between(after, upTo int64) (list []store.Row, missing *gap) {
	if n.rows != nil {
		for i := max(after+1, n.first); i <= upTo; i++ {
			list = append(list, n.rows[i%newestRows])
		}
	}
	switch {
	case after == n.seq || n.rows != nil && after+1 >= n.first && after <= n.seq:
		return list, nil
	case after < n.began || after > n.seq:
		return list, &gap{Of: "verdicts"} // a number of another daemon
	}
	return list, &gap{n.first - after - 1, "verdicts"}
}

// rowKey names a verdict here and in the history.
type rowKey struct {
	millis int64
	ref    string
}

// keep notes that the history has rows.
func (n *newest) keep(rows []store.Row) {
	saved := make(map[rowKey]bool, len(rows))
	for i := range rows {
		saved[rowKey{rows[i].Millis, rows[i].Ref}] = true
	}
	for i := n.first; i <= n.seq && n.rows != nil; i++ {
		if r := &n.rows[i%newestRows]; saved[rowKey{r.Millis, r.Ref}] {
			n.saved[i%newestRows] = true
		}
	}
}

// shipped is a database whose writes are noted.
type shipped struct {
	store.Store
	streams *streams
}

// Ship implements store.Store.
func (s *shipped) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (store.Shipped, error) {
	x := s.streams
	x.newest.shipping.Add(1)
	done, err := s.Store.Ship(ctx, n, from, to, b)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.newest.keep(b.Rows)
	}
	x.newest.shipping.Add(1)
	return done, err
}

// Newest implements ui.Source. If rows reach the history while it is read, it is read again, a few times.
func (c console) Newest(read func() error) (ui.Newest, error) {
	const tries = 4
	s := c.d.history.live.streams
	for try := 1; ; try++ {
		before := s.newest.shipping.Load()
		if err := read(); err != nil {
			return ui.Newest{}, err
		}
		s.mu.Lock()
		if s.newest.shipping.Load() == before && before%2 == 0 || try == tries {
			defer s.mu.Unlock()
			return s.newest.state(store.Millis(c.Now().Add(-unstoredFor))), nil
		}
		s.mu.Unlock()
	}
}

// state returns what a page needs, without verdicts from before a time.
func (n *newest) state(since int64) ui.Newest {
	x := ui.Newest{Last: n.seq}
	for i := n.seq; i >= n.first && n.rows != nil; i-- {
		r := &n.rows[i%newestRows]
		if r.Millis < since {
			break
		}
		x.Rows = append(x.Rows, *r)
		if !n.saved[i%newestRows] {
			x.Unstored = append(x.Unstored, *r)
		}
	}
	return x
}
