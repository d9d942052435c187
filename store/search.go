package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Page is what a search found, newest first.
type Page struct {
	Rows []Row
	// Next is the cursor of the following page, 0 where there is none.
	Next int64
	// Reached is set when the time was over before everything was searched: the search is
	// complete from there on, in milliseconds since 1970.
	Reached int64
}

// days returns the days that a search has to look at, newest first.
func days(ctx context.Context, r Reader, q *Query) ([]Day, error) {
	all, err := r.Days(ctx)
	return slices.DeleteFunc(all, func(d Day) bool {
		return q.Since > 0 && d.End() <= q.Since || q.Until > 0 && d.Start() >= q.Until
	}), err
}

// Search returns at most limit rows with ids below before (0: from the newest on). It looks
// at one day after another and stops when budget is over, with what it has found.
func Search(ctx context.Context, r Reader, q *Query, before int64, limit int, budget time.Duration) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	var p Page
	list, err := days(ctx, r, q)
	if err != nil {
		return p, err
	}
	for _, d := range list {
		if before > 0 && FirstID(d.Start()) >= before {
			continue
		}
		rows, err := r.Page(ctx, d, q, Cursor{Before: before, Limit: limit + 1 - len(p.Rows)})
		if err != nil {
			if over(ctx, err) {
				p.Reached = d.End()
				return p, nil
			}
			return p, err
		}
		p.Rows = append(p.Rows, rows...)
		if len(p.Rows) > limit {
			p.Rows = p.Rows[:limit]
			p.Next = p.Rows[limit-1].ID
			break
		}
	}
	return p, nil
}

// over reports whether the time of a search is over, and not that of its caller.
func over(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// Newer returns at most limit rows with ids above after, the oldest first.
func Newer(ctx context.Context, r Reader, q *Query, after int64, limit int) ([]Row, error) {
	list, err := days(ctx, r, q)
	if err != nil {
		return nil, err
	}
	slices.Reverse(list)
	var found []Row
	for _, d := range list {
		if FirstID(d.End()) <= after || len(found) >= limit {
			continue
		}
		rows, err := r.Page(ctx, d, q, Cursor{After: max(after, 1), Limit: limit - len(found)})
		if err != nil {
			return nil, err
		}
		found = append(found, rows...)
	}
	return found, nil
}

// MaxCount ends exact counting.
const MaxCount = 10000

// Figures are the numbers that go with a search.
type Figures struct {
	Count int
	Exact bool   // else there are more than Count
	Hours []Hour // newest first
	Top   map[Field][]Group
	// Reached is as that of Page, for Hours and Top.
	Reached int64
}

// TopFields are those by which Summarize counts.
var TopFields = []Field{FieldAuthor, FieldMailFrom, FieldReason}

// Summarize counts what a search finds: exactly up to MaxCount, by hour, and the limit most
// frequent values of each field of TopFields.
func Summarize(ctx context.Context, r Reader, q *Query, limit int, budget time.Duration) (Figures, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	f := Figures{Exact: true, Top: map[Field][]Group{}}
	list, err := days(ctx, r, q)
	if err != nil {
		return f, err
	}
	tops := map[Field]map[string]int{}
	for _, d := range list {
		if err := f.add(ctx, r, q, d, tops); err != nil {
			if over(ctx, err) {
				f.Reached = d.End()
				f.Exact = false
				break
			}
			return f, err
		}
	}
	for field, values := range tops {
		groups := make([]Group, 0, len(values))
		for v, n := range values {
			groups = append(groups, Group{v, n})
		}
		slices.SortFunc(groups, func(a, b Group) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Value, b.Value)) })
		f.Top[field] = groups[:min(limit, len(groups))]
	}
	return f, nil
}

// topOfDay is how many values of a day are taken into the list of all days: a value that is
// among the first of all days is among them on some day.
const topOfDay = 100

func (f *Figures) add(ctx context.Context, r Reader, q *Query, d Day, tops map[Field]map[string]int) error {
	hours, err := r.Hours(ctx, d, q)
	if err != nil {
		return err
	}
	n := 0
	for _, h := range hours {
		for _, c := range h.Count {
			n += c
		}
	}
	if f.Count += n; f.Count > MaxCount {
		f.Count, f.Exact = MaxCount, false
	}
	f.Hours = append(f.Hours, hours...)
	for _, field := range TopFields {
		groups, err := r.Top(ctx, d, q, field, topOfDay)
		if err != nil {
			return err
		}
		if tops[field] == nil {
			tops[field] = map[string]int{}
		}
		for _, g := range groups {
			tops[field][g.Value] += g.Count
		}
	}
	return nil
}
