package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"postseal/server/listener"
	"postseal/store"
)

// confirmAfter is how many sweeps in a row, one per minute of this machine's running time, a clock must
// stay more than a day away from the last sweep of the database before it is believed. In this time
// a person can set a clock that is wrong.
const confirmAfter = 24 * 60

// doubt counts for how long the clock differs from the last sweep of the database.
type doubt struct {
	sweeps int   // in doubt
	swept  int64 // the last sweep when they began
	ahead  atomic.Pointer[store.ClockError]
}

// step takes the time of the last sweep of the database, and reports whether the clock of now is
// confirmed. Sweeps of other daemons in between say that this clock is wrong: the count begins again.
func (d *doubt) step(swept int64, now time.Time) (confirmed bool) {
	const day = 24 * time.Hour
	if swept == 0 || now.Sub(store.Time(swept)).Abs() <= day {
		d.sweeps = 0
		return false
	}
	if d.sweeps == 0 || d.swept != swept {
		d.sweeps, d.swept = 0, swept
	}
	d.sweeps++
	return d.sweeps > confirmAfter
}

// checkClock reports whether the clock can be trusted for what removes history and closes days, and
// whether that was confirmed by time alone.
func (h *keeper) checkClock(ctx context.Context, s store.Reader) (trusted, confirmed bool) {
	now := h.now()
	swept, err := s.SweptAt(ctx)
	if err == nil {
		confirmed = h.doubt.step(swept, now)
		err = store.CheckClock(ctx, s, now)
	}
	var ahead *store.ClockError
	if err == nil || confirmed {
		h.doubt.ahead.Store(nil)
		return true, confirmed
	}
	if errors.As(err, &ahead) && h.doubt.ahead.Swap(ahead) == nil {
		h.log.Error("the clock may be wrong: nothing of the history is removed because of its age, and no report is made, until it is right or has been so for 24 hours", "error", ahead.Error())
	} else if ahead == nil && ctx.Err() == nil {
		h.log.Error("the history could not be reduced to its limits", "error", listener.Text(err))
	}
	return false, false
}
