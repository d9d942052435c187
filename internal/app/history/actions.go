package history

import (
	"context"
	"time"

	"postseal/store"
)

// Actions counts what a search finds by applied action, in the order of store.HourActions. It fails if budget is over.
func Actions(ctx context.Context, r store.Reader, q *store.Query, budget time.Duration) (sums [len(store.HourActions)]int, err error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	days, err := r.Days(ctx)
	if err != nil {
		return sums, err
	}
	for _, d := range days {
		if q.Since > 0 && d.End() <= q.Since || q.Until > 0 && d.Start() >= q.Until {
			continue
		}
		hours, err := r.Hours(ctx, d, q)
		if err != nil {
			return sums, err
		}
		for _, h := range hours {
			for i, n := range h.Count {
				sums[i] += n
			}
		}
	}
	return sums, nil
}
