package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"postseal/store"
)

const (
	openHour    = 5 * time.Minute       // an hour counts as over only after this, because rows arrive late
	countedLast = 10 * time.Minute      // another host may add late rows
	worthwhile  = 10 * time.Millisecond // what took less is counted again
	maxCounted  = 256
	countTime   = time.Minute // the longest that a count may take
	maxLeft     = 2           // counts that continue after their callers have gone
)

// Counted is a store that keeps the figures of hours that are over: a search of a million verdicts counts each of
// them once and not for every page. A count continues when its caller has no more time, so that the
// next page has it.
type Counted struct {
	store.Store
	now func() time.Time

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	parts map[countedKey]*counted
	left  int // counts without a caller
}

type countedKey struct {
	day          store.Day
	since, until int64
	terms        string
	field        store.Field
	limit        int // 0: by hour
}

// counted is a count that is running or done.
type counted struct {
	key    countedKey
	hours  []store.Hour
	groups []store.Group
	err    error
	at     time.Time // when it began

	cancel  context.CancelFunc
	done    chan struct{}
	callers int
	left    bool // it has no caller, and continues
}

// NewCounted returns a store whose figures are kept. Close ends its counts.
func NewCounted(db store.Store, now func() time.Time) *Counted {
	c := &Counted{Store: db, now: now, parts: map[countedKey]*counted{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Hours implements store.Reader.
func (c *Counted) Hours(ctx context.Context, d store.Day, q *store.Query) ([]store.Hour, error) {
	over, open := c.split(d, q)
	var hours []store.Hour
	if open != nil {
		var err error
		if hours, err = c.Store.Hours(ctx, d, open); err != nil {
			return nil, err
		}
	}
	if over == nil {
		return hours, nil
	}
	part, err := c.part(ctx, keyOf(d, over), func(ctx context.Context, p *counted) (err error) {
		p.hours, err = c.Store.Hours(ctx, d, over)
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(hours, part.hours...), nil // the newest first
}

// Top implements store.Reader.
func (c *Counted) Top(ctx context.Context, d store.Day, q *store.Query, f store.Field, limit int) ([]store.Group, error) {
	over, open := c.split(d, q)
	if over == nil {
		return c.Store.Top(ctx, d, q, f, limit)
	}
	key := keyOf(d, over)
	key.field, key.limit = f, limit
	part, err := c.part(ctx, key, func(ctx context.Context, p *counted) (err error) {
		p.groups, err = c.Store.Top(ctx, d, over, f, limit)
		return err
	})
	if err != nil || open == nil {
		return part.groups, err
	}
	groups, err := c.Store.Top(ctx, d, open, f, limit)
	if err != nil {
		return nil, err
	}
	return merged(groups, part.groups, limit), nil
}

// merged adds two lists of groups. A value that is not among the first limit of either is left out.
func merged(a, b []store.Group, limit int) []store.Group {
	sums := map[string]int{}
	for _, g := range slices.Concat(a, b) {
		sums[g.Value] += g.Count
	}
	all := make([]store.Group, 0, len(sums))
	for value, n := range sums {
		all = append(all, store.Group{Value: value, Count: n})
	}
	slices.SortFunc(all, func(a, b store.Group) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Value, b.Value)) })
	return all[:min(limit, len(all))]
}

// split returns the search for the hours of a day that are over, and for the others; nil is a
// search for nothing.
func (c *Counted) split(d store.Day, q *store.Query) (over, open *store.Query) {
	from, end := max(d.Start(), q.Since), d.End()
	if q.Until > 0 {
		end = min(end, q.Until)
	}
	now := store.Millis(c.now().Add(-openHour).Truncate(time.Hour))
	part := func(since, until int64) *store.Query {
		if since >= until {
			return nil
		}
		p := *q
		p.Since, p.Until = since, until
		return &p
	}
	return part(from, min(end, now)), part(max(from, now), end)
}

func keyOf(d store.Day, q *store.Query) countedKey {
	return countedKey{day: d, since: q.Since, until: q.Until, terms: fmt.Sprintf("%+v", q.Terms)}
}

// part returns what was counted before, or counts it. When ctx ends, a few counts continue.
func (c *Counted) part(ctx context.Context, key countedKey, count func(context.Context, *counted) error) (*counted, error) {
	p := c.join(key, count)
	defer c.leave(p)
	select {
	case <-p.done:
		return p, p.err
	case <-ctx.Done():
		return &counted{}, ctx.Err()
	}
}

// join finds a count, or begins it.
func (c *Counted) join(key countedKey, count func(context.Context, *counted) error) *counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	p := c.parts[key]
	if p != nil && now.Sub(p.at) < countedLast {
		p.callers++
		return p
	}
	if p == nil && len(c.parts) >= maxCounted {
		c.parts = map[countedKey]*counted{}
	}
	ctx, cancel := context.WithTimeout(c.ctx, countTime)
	p = &counted{key: key, at: now, cancel: cancel, done: make(chan struct{}), callers: 1}
	c.parts[key] = p
	c.running.Go(func() { c.count(ctx, p, count) })
	return p
}

func (c *Counted) count(ctx context.Context, p *counted, count func(context.Context, *counted) error) {
	defer p.cancel()
	p.err = count(ctx, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.left {
		c.left--
	}
	if p.err != nil || c.now().Sub(p.at) < worthwhile {
		c.remove(p)
	}
	close(p.done)
}

// leave ends a count without a caller, unless it may continue.
func (c *Counted) leave(p *counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.callers--; p.callers > 0 || p.left {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	if c.left >= maxLeft {
		c.remove(p)
		p.cancel()
		return
	}
	c.left++
	p.left = true
}

func (c *Counted) remove(p *counted) {
	if c.parts[p.key] == p {
		delete(c.parts, p.key)
	}
}

// forget drops the counts of some days.
func (c *Counted) forget(of func(store.Day) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.parts, func(k countedKey, _ *counted) bool { return of(k.day) })
}

func (c *Counted) changed(rows []store.Row) {
	days := map[store.Day]bool{}
	over := store.Millis(c.now().Add(-openHour).Truncate(time.Hour))
	for i := range rows {
		if rows[i].Millis < over {
			days[store.DayOf(rows[i].Millis)] = true
		}
	}
	if len(days) > 0 {
		c.forget(func(d store.Day) bool { return days[d] })
	}
}

// Ship implements store.Store.
func (c *Counted) Ship(ctx context.Context, n store.Node, from, to store.Position, b *store.Batch) (store.Shipped, error) {
	defer c.changed(b.Rows)
	return c.Store.Ship(ctx, n, from, to, b)
}

// Import implements store.Store.
func (c *Counted) Import(ctx context.Context, rows []store.Row, b *store.Batch) (added int, err error) {
	defer c.changed(rows)
	return c.Store.Import(ctx, rows, b)
}

// Drop implements store.Store.
func (c *Counted) Drop(ctx context.Context, d store.Day) error {
	defer c.forget(func(x store.Day) bool { return x == d })
	return c.Store.Drop(ctx, d)
}

// Forget implements store.Store.
func (c *Counted) Forget(ctx context.Context, f store.Forgotten) (rows int64, err error) {
	defer c.forget(func(store.Day) bool { return true })
	return c.Store.Forget(ctx, f)
}

// Mask implements store.Store.
func (c *Counted) Mask(ctx context.Context, d store.Day, keep string) error {
	defer c.forget(func(x store.Day) bool { return x == d })
	return c.Store.Mask(ctx, d, keep)
}

// Close implements store.Store.
func (c *Counted) Close() error {
	c.stop()
	c.running.Wait()
	return c.Store.Close()
}
