package store

import (
	"context"
	"time"
)

// Retention says what is kept.
type Retention struct {
	History  time.Duration // age of the oldest day
	MaxBytes int64         // of the database; 0 has no bound
	IP       string        // full, net or none: what is kept of addresses once their day is over
	Reports  bool          // reports are made: addresses are needed until those of their day are
	Clock    bool          // the clock is known to be right, whatever CheckClock says
}

// MaxFacts bounds the facts of each kind.
const MaxFacts = 200_000

// Sweep drops the days that are too old or too much, reduces the addresses of days that are
// over, and removes facts that were not seen for as long as history is kept. It returns the
// days that it dropped. The day of now is never dropped. When the clock may be wrong, nothing is
// done that depends on it, and the error is a *ClockError.
func Sweep(ctx context.Context, s Store, keep Retention, now time.Time) (dropped []Day, err error) {
	var doubt error
	if !keep.Clock {
		doubt = CheckClock(ctx, s, now)
	}
	list, err := s.Days(ctx)
	if err != nil {
		return nil, err
	}
	oldest, today := Millis(now.Add(-keep.History)), DayOf(Millis(now))
	for doubt == nil && len(list) > 0 && list[len(list)-1] < today && list[len(list)-1].End() <= oldest {
		if dropped, list, err = dropLast(ctx, s, dropped, list); err != nil {
			return dropped, err
		}
	}
	for keep.MaxBytes > 0 && len(list) > 1 && list[len(list)-1] < today {
		size, err := s.Size(ctx)
		if err != nil || size <= keep.MaxBytes/10*9 {
			break
		}
		if dropped, list, err = dropLast(ctx, s, dropped, list); err != nil {
			return dropped, err
		}
	}
	if doubt != nil {
		return dropped, doubt
	}
	if err := maskDays(ctx, s, keep, list, today); err != nil {
		return dropped, err
	}
	if err := s.Trim(ctx, oldest, MaxFacts); err != nil {
		return dropped, err
	}
	return dropped, markSwept(ctx, s, now, keep.Clock)
}

// maskDays reduces the addresses of the days that are over.
func maskDays(ctx context.Context, s Store, keep Retention, list []Day, today Day) (err error) {
	if keep.IP == "full" {
		return nil
	}
	var pending map[Day]bool
	if keep.Reports {
		if pending, err = unbuilt(ctx, s, today); err != nil {
			return err
		}
	}
	for _, d := range list {
		if d < today && !pending[d] {
			if err := s.Mask(ctx, d, keep.IP); err != nil {
				return err
			}
		}
	}
	return nil
}

func dropLast(ctx context.Context, s Store, dropped, list []Day) ([]Day, []Day, error) {
	last := list[len(list)-1]
	if err := s.Drop(ctx, last); err != nil {
		return dropped, list, err
	}
	return append(dropped, last), list[:len(list)-1], nil
}

// unbuilt returns the days whose reports are not made yet. A day that is older than reports wait
// for is not among them.
func unbuilt(ctx context.Context, s Store, today Day) (map[Day]bool, error) {
	const patience = 3
	days, err := s.ReportDays(ctx, today-patience)
	pending := map[Day]bool{}
	for _, d := range days {
		pending[d.Day] = d.State != DayBuilt
	}
	return pending, err
}
