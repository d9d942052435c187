package notify

import "time"

// Rates counts messages by minute for a day, to find a spike of those that were not accepted.
type Rates struct {
	minutes [24 * 60]count
	last    int64 // minute since 1970
	first   int64
}

type count struct{ all, refused, deferred int }

// The window of a spike, the least messages that make one, and how long a rate must be known.
const (
	window    = 10
	leastMail = 20
	leastTime = 60
)

// Add counts one message.
func (r *Rates) Add(now time.Time, refused, deferred bool) {
	c := r.at(now)
	c.all++
	if refused {
		c.refused++
	}
	if deferred {
		c.deferred++
	}
}

// at returns the counter of the minute, and clears those since the last one. A clock that goes
// back counts in the last minute.
func (r *Rates) at(now time.Time) *count {
	minute := now.Unix() / 60
	if r.last == 0 {
		r.first, r.last = minute, minute
	}
	for i := max(r.last+1, minute-int64(len(r.minutes))+1); i <= minute; i++ {
		r.minutes[i%int64(len(r.minutes))] = count{}
	}
	r.last = max(r.last, minute)
	return &r.minutes[r.last%int64(len(r.minutes))]
}

// Spike is a number of messages within ten minutes, and what is usual.
type Spike struct {
	Refused, Deferred           int
	UsualRefused, UsualDeferred float64
}

// Spike returns the numbers of now. ok is false while less than an hour is known.
func (r *Rates) Spike(now time.Time) (s Spike, ok bool) {
	r.at(now)
	known := min(r.last-r.first, int64(len(r.minutes))) - window
	if known < leastTime {
		return s, false
	}
	var before count
	for i := range int64(len(r.minutes)) {
		c := &r.minutes[(r.last-i+int64(len(r.minutes)))%int64(len(r.minutes))]
		if i < window {
			s.Refused, s.Deferred = s.Refused+c.refused, s.Deferred+c.deferred
		} else if i < window+known {
			before.refused, before.deferred = before.refused+c.refused, before.deferred+c.deferred
		}
	}
	s.UsualRefused = float64(before.refused) * window / float64(known)
	s.UsualDeferred = float64(before.deferred) * window / float64(known)
	return s, true
}

// IsSpike reports whether n messages in ten minutes are more than times the usual number.
func IsSpike(n int, usual float64, times int) bool {
	return n >= leastMail && float64(n) > float64(times)*usual
}
