package history

import (
	"context"
	"errors"
	"sync"
	"time"

	"postseal/store"
)

// MinutesSchema identifies the JSON format of Minutes. New fields may be added.
const MinutesSchema = "postseal.minutes/1"

// MinuteCount is how many minutes Minutes has.
const MinuteCount = 60

// Minutes are the verdicts of the last hour, counted by minute: GET /v1/minutes.
type Minutes struct {
	Schema string `json:"schema"`
	// Minutes are the oldest first. The last one is not over. There are fewer than MinuteCount if the
	// history did not answer in time.
	Minutes []Bar `json:"minutes"`
}

// When a part of the day that was read is read again: until settledAfter its end, because its verdicts may still be on
// their way, and then a minute once in againMinutes minutes and an hour once an hour, because another host may have been
// cut off from the database.
const (
	minuteMillis = int64(time.Minute / time.Millisecond)
	hourMillis   = int64(time.Hour / time.Millisecond)
	settledAfter = minuteMillis
	againMinutes = 10
	hoursOfDay   = 24
)

// Recent keeps the counts of the last minutes, and of the hours of today, so that only those of the newest minutes are
// read for a page. It has a fixed size, and is safe for concurrent use.
type Recent struct {
	mu      sync.Mutex
	minutes [MinuteCount]partCount
	hours   [hoursOfDay]partCount
}

// partCount is what was counted of a minute or an hour, and when, in milliseconds since 1970.
type partCount struct {
	start, read int64
	counts      [len(store.HourActions)]int
}

// settled reports whether the counts are those of the part that begins at start, and need not be read now.
func (m *partCount) settled(start, length, now int64) bool {
	minute := now / minuteMillis
	due := (minute+start/minuteMillis)%againMinutes == 0
	if length == hourMillis {
		due = minute%(hourMillis/minuteMillis) == 2*(start/hourMillis%hoursOfDay)
	}
	return m.start == start && m.read >= start+length+settledAfter && !(due && m.read/minuteMillis != minute)
}

// Read returns the minutes before now, of all hosts that share the database, the oldest first. If budget is over, it
// returns those that it has, back from the newest.
func (c *Recent) Read(ctx context.Context, db store.Reader, now time.Time, budget time.Duration) ([]Bar, error) {
	list := make([]Bar, MinuteCount)
	at := store.Millis(now)
	n, err := parts(ctx, budget, MinuteCount, func(ctx context.Context, i int) error {
		start := at - at%minuteMillis - int64(i)*minuteMillis
		m, err := c.part(ctx, db, &c.minutes[start/minuteMillis%MinuteCount], start, minuteMillis, at)
		list[MinuteCount-1-i] = Bar{store.Time(start), m.counts}
		return err
	})
	return list[MinuteCount-n:], err
}

// Today counts the verdicts of the day of now by action: the hours that are over, and of this one the minutes that Read
// returned. complete is false if budget was over before all was counted.
func (c *Recent) Today(ctx context.Context, db store.Reader, now time.Time, minutes []Bar, budget time.Duration) (sums [len(store.HourActions)]int, complete bool, err error) {
	at := store.Millis(now)
	hour := at - at%hourMillis
	add := func(counts [len(store.HourActions)]int) {
		for i, n := range counts {
			sums[i] += n
		}
	}
	for i := range minutes {
		if !minutes[i].Start.Before(store.Time(hour)) {
			add(minutes[i].Counts)
		}
	}
	over := int((hour - store.DayOf(at).Start()) / hourMillis) // hours of today
	n, err := parts(ctx, budget, over, func(ctx context.Context, i int) error {
		start := hour - int64(i+1)*hourMillis
		m, err := c.part(ctx, db, &c.hours[start/hourMillis%hoursOfDay], start, hourMillis, at)
		if err == nil {
			add(m.counts)
		}
		return err
	})
	return sums, n == over && len(minutes) == MinuteCount, err
}

// parts calls read for 0 to count-1 within budget, and returns for how many there was time.
func parts(ctx context.Context, budget time.Duration, count int, read func(ctx context.Context, i int) error) (n int, err error) {
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	for i := range count {
		err := read(limited, i)
		switch {
		case err != nil && ctx.Err() == nil && (limited.Err() != nil || errors.Is(err, context.DeadlineExceeded)):
			return i, nil
		case err != nil:
			return i, err
		}
	}
	return count, nil
}

// part returns the counts of a minute or an hour, and reads them unless they are settled.
func (c *Recent) part(ctx context.Context, db store.Reader, place *partCount, start, length, now int64) (partCount, error) {
	c.mu.Lock()
	m := *place
	c.mu.Unlock()
	if m.settled(start, length, now) {
		return m, nil
	}
	hours, err := db.Hours(ctx, store.DayOf(start), &store.Query{Since: start, Until: start + length})
	if err != nil {
		return m, err
	}
	m = partCount{start: start, read: now}
	for _, h := range hours {
		for i, n := range h.Count {
			m.counts[i] += n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if place.start != start || place.read <= now {
		*place = m
	}
	return m, nil
}
