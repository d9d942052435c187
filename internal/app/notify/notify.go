// Package notify tells the operator when something begins to go wrong and when it is over:
// once each, by a command, a webhook or mail.
package notify

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Schema is the name of the JSON of an Event. Changes to it only add.
const Schema = "postseal.notify/1"

// Alarm is something that goes wrong while it is there.
type Alarm struct {
	Name string // tells alarms apart: "dns", "exemption example.net until 2026-12-01"
	Kind string // dns, refusals, deferrals, losses, store, reports, exemption or watch
	Text string // one sentence for a person, with the threshold
}

// The states of an Event.
const (
	Begins = "begins"
	Over   = "over"
)

// Event is one notification.
type Event struct {
	Schema string    `json:"schema"`
	Host   string    `json:"host"`
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	State  string    `json:"state"` // begins or over
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
	Since  time.Time `json:"since"` // when it began
}

// Subject says in one line what the event is.
func (e *Event) Subject() string {
	if e.State == Over {
		return fmt.Sprintf("postseal on %s: over: %s", e.Host, e.Name)
	}
	return fmt.Sprintf("postseal on %s: %s", e.Host, e.Name)
}

// Body says all of it.
func (e *Event) Body() string {
	if e.State == Over {
		return fmt.Sprintf("Over after %v. It was:\n%s\n", e.At.Sub(e.Since).Round(time.Second), e.Text)
	}
	return e.Text + "\n"
}

// An alarm is over when it was away for a while, the calm. An alarm that comes back within a day
// must be away for twice as long the next time: one that comes and goes all day is told a few
// times, not a hundred.
const (
	firstCalm = 10 * time.Minute
	longCalm  = 12 * time.Hour
	memory    = 24 * time.Hour
)

// maxAlarms bounds the alarms that are followed; more are not told.
const maxAlarms = 100

// Seen is what is known of an alarm. It is kept over a restart.
type Seen struct {
	Alarm Alarm         `json:"alarm"`
	On    bool          `json:"on"`
	Since time.Time     `json:"since"` // it began
	Last  time.Time     `json:"last"`  // it was there
	Calm  time.Duration `json:"calm"`
	// Untold are its events that not every channel has accepted.
	Untold []*Untold `json:"untold,omitempty"`
}

// Watch turns alarms into events. The zero Watch has seen nothing.
type Watch struct {
	Host string
	Seen map[string]*Seen
}

// Step takes the alarms of a moment, and returns what there is to tell. Claim returns it to the one who sends it.
func (w *Watch) Step(now time.Time, alarms []Alarm) (events []Event) {
	if w.Seen == nil {
		w.Seen = map[string]*Seen{}
	}
	for _, a := range alarms {
		s := w.Seen[a.Name]
		switch {
		case s == nil && len(w.Seen) >= maxAlarms:
			continue
		case s == nil:
			s = &Seen{Calm: firstCalm}
			w.Seen[a.Name] = s
		case !s.On:
			s.Calm = min(2*s.Calm, longCalm)
		}
		s.Last = now
		if s.On {
			continue
		}
		s.Alarm, s.On, s.Since = a, true, now
		events = append(events, w.event(s, Begins, now))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Seen)) {
		s := w.Seen[name]
		away := now.Sub(s.Last)
		switch {
		case s.On && away >= s.Calm:
			s.On = false
			events = append(events, w.event(s, Over, s.Last))
		case !s.On && away >= memory:
			delete(w.Seen, name)
		}
	}
	return events
}

func (w *Watch) event(s *Seen, state string, at time.Time) Event {
	e := Event{Schema: Schema, Host: w.Host, Kind: s.Alarm.Kind, Name: s.Alarm.Name, State: state, Text: s.Alarm.Text, At: at.UTC(), Since: s.Since.UTC()}
	s.note(&e)
	return e
}
