package notify

import (
	"slices"
	"strings"
	"time"

	"postseal/internal/app/failpoint"
)

// Untold is an event that not every channel has accepted. Who sends it has a lease: if it is gone, another host, or
// the next start, sends the event. So an event is told at least once.
type Untold struct {
	Event    Event     `json:"event"`
	Told     []string  `json:"told,omitempty"` // the channels that accepted it
	Attempts int       `json:"attempts"`       // that have begun
	By       string    `json:"by"`             // who sends it
	Until    time.Time `json:"until"`          // when another one may
}

// The bounds of events that are not told yet. A lease is longer than an attempt by every channel at the
// events that are claimed at a time.
const (
	MaxAttempts = 10
	maxUntold   = 4 // of one alarm
	claimed     = 3 // at a time
	channels    = 3
	pause       = 2 * time.Minute // after an attempt that failed
)

var leaseFor = failpoint.Soon((claimed*channels + 1) * sendTime)

// note adds an event that is to be told.
func (s *Seen) note(e *Event) {
	s.Untold = append(s.Untold, &Untold{Event: *e})
	s.Untold = s.Untold[max(0, len(s.Untold)-maxUntold):]
}

// Claim leases the events that are due to a sender, a few at a time, and returns them in the order of
// their time. With alone, it leaves those that another sender has begun with.
func (w *Watch) Claim(now time.Time, by string, alone bool) (due []Untold) {
	var all []*Untold
	for _, s := range w.Seen {
		s.Untold = slices.DeleteFunc(s.Untold, func(u *Untold) bool { return u.Attempts >= MaxAttempts && now.After(u.Until) })
		for _, u := range s.Untold {
			if !now.Before(u.Until) && (!alone || u.By == "" || u.By == by) {
				all = append(all, u)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Untold) int {
		if c := a.Event.At.Compare(b.Event.At); c != 0 {
			return c
		}
		return strings.Compare(a.Event.Name+a.Event.State, b.Event.Name+b.Event.State)
	})
	for _, u := range all[:min(len(all), claimed)] {
		u.By, u.Until, u.Attempts = by, now.Add(leaseFor), u.Attempts+1
		due = append(due, *u)
	}
	return due
}

// Settle notes which channels accepted an event. failed is tried again after a pause.
func (w *Watch) Settle(now time.Time, sent *Untold, failed bool) {
	s := w.Seen[sent.Event.Name]
	if s == nil {
		return
	}
	same := func(u *Untold) bool { return u.Event.State == sent.Event.State && u.Event.At.Equal(sent.Event.At) }
	if !failed {
		s.Untold = slices.DeleteFunc(s.Untold, same)
		return
	}
	if i := slices.IndexFunc(s.Untold, same); i >= 0 && s.Untold[i].By == sent.By {
		s.Untold[i].Told, s.Untold[i].Until = sent.Told, now.Add(pause)
	}
}

// Resume continues with what an earlier process has kept: what that did not send is due, and an alarm that was there counts
// as seen for a while, since some take minutes to be noticed again.
func (w *Watch) Resume(now time.Time) {
	for _, s := range w.Seen {
		for _, u := range s.Untold {
			u.Until = time.Time{}
		}
		if seen := now.Add(firstCalm / 2); s.On && s.Last.Before(seen) {
			s.Last = seen
		}
	}
}

// On reports whether an alarm is there.
func (w *Watch) On() bool {
	for _, s := range w.Seen {
		if s.On {
			return true
		}
	}
	return false
}
