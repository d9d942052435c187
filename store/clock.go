package store

import (
	"context"
	"fmt"
	"time"
)

// maxAdvance is how far the clock may be from the last sweep. A clock that is further ahead may
// be wrong, and history that a wrong clock removes is lost.
const maxAdvance = 24 * time.Hour

// markEvery is how old the time of the last sweep may be in the database.
const markEvery = 10 * time.Minute

// ClockError reports that the clock is so far ahead of the last sweep of the database that it may be
// wrong. Nothing is removed because of its age until the clock is confirmed.
type ClockError struct {
	Swept time.Time // the last sweep, in UTC
	Now   time.Time
}

// Error implements error.
func (e *ClockError) Error() string {
	return fmt.Sprintf("the clock says %s, and the database was last swept at %s: if the clock is wrong, everything would be too old",
		Time(Millis(e.Now)).Format(time.RFC3339), e.Swept.Format(time.RFC3339))
}

// CheckClock compares a clock with the time of the last sweep. The error is a *ClockError when the clock is
// more than a day ahead. A database that was never swept, and a clock that is behind, pass: neither
// makes anything too old.
func CheckClock(ctx context.Context, r Reader, now time.Time) error {
	swept, err := r.SweptAt(ctx)
	if err != nil || swept == 0 || now.Sub(Time(swept)) <= maxAdvance {
		return err
	}
	return &ClockError{Swept: Time(swept), Now: now}
}

// markSwept notes the time of a sweep. A clock that is far behind is not believed either until it is
// confirmed: a machine that starts in 1970 would have its right clock doubted afterwards.
func markSwept(ctx context.Context, s Store, now time.Time, confirmed bool) error {
	swept, err := s.SweptAt(ctx)
	if err != nil {
		return err
	}
	off := now.Sub(Time(swept)).Abs()
	if swept != 0 && (off < markEvery || off > maxAdvance && !confirmed) {
		return nil
	}
	return s.SetSweptAt(ctx, Millis(now))
}
