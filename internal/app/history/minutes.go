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

// When a minute that was read is read again: until settledAfter its end, because its verdicts may still be on their
// way, and then once in againMinutes minutes, because another host may have been cut off from the database.
const (
	minuteMillis = int64(time.Minute / time.Millisecond)
	settledAfter = minuteMillis
	againMinutes = 10
)

// Recent keeps the counts of Minutes, so that only those of the newest minutes are read. It has a fixed size, and is
// safe for concurrent use.
type Recent struct {
	mu   sync.Mutex
	ring [MinuteCount]minuteCount
}

// minuteCount is what was counted of a minute, and when, in milliseconds since 1970.
type minuteCount struct {
	start, read int64
	counts      [len(store.HourActions)]int
}

// settled reports whether the counts are those of the minute from start, and need not be read now.
func (m *minuteCount) settled(start, now int64) bool {
	due := (now/minuteMillis+start/minuteMillis)%againMinutes == 0 && m.read/minuteMillis != now/minuteMillis
	return m.start == start && m.read >= start+minuteMillis+settledAfter && !due
}

// Read returns the minutes before now, of all hosts that share the database, the oldest first. If budget is over, it
// returns those that it has, back from the newest.
func (c *Recent) Read(ctx context.Context, db store.Reader, now time.Time, budget time.Duration) ([]Bar, error) {
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	at := store.Millis(now)
	list := make([]Bar, MinuteCount)
	for i := range MinuteCount {
		start := at - at%minuteMillis - int64(i)*minuteMillis
		m, err := c.minute(limited, db, start, at)
		switch {
		case err != nil && ctx.Err() == nil && (limited.Err() != nil || errors.Is(err, context.DeadlineExceeded)):
			return list[MinuteCount-i:], nil
		case err != nil:
			return nil, err
		}
		list[MinuteCount-1-i] = Bar{store.Time(start), m.counts}
	}
	return list, nil
}

// minute returns the counts of a minute, and reads them unless they are settled.
func (c *Recent) minute(ctx context.Context, db store.Reader, start, now int64) (minuteCount, error) {
	place := &c.ring[start/minuteMillis%MinuteCount]
	c.mu.Lock()
	m := *place
	c.mu.Unlock()
	if m.settled(start, now) {
		return m, nil
	}
	hours, err := db.Hours(ctx, store.DayOf(start), &store.Query{Since: start, Until: start + minuteMillis})
	if err != nil {
		return m, err
	}
	m = minuteCount{start: start, read: now}
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
