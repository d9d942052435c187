package server

import (
	"context"
	"encoding/json"
	"time"

	"postseal/internal/app/notify"
	"postseal/server/listener"
)

// ofFleet are the kinds of alarms that are about the mail, reports and rules of all hosts. The others are
// about one of them: its name servers, clock, disk and connection to the database.
var ofFleet = map[string]bool{"refusals": true, "deferrals": true, "reports": true, "exemption": true, "watch": true}

// common is what is known about alarms of all hosts. The database has it; this is a copy, for the time in which the
// database is away.
type common struct {
	watch notify.Watch
	alone bool // it was changed since the database answered
}

// turn turns the alarms of now into new events, and returns those that this host is to send. Of hosts that share a
// database, one tells each alarm of all; while the database is away, each host speaks for itself.
func (a *alarms) turn(ctx context.Context, now time.Time, all []notify.Alarm) (events []notify.Event, due []notify.Untold) {
	if a.shared == nil {
		events = a.watch.Step(now, all)
		return events, a.watch.Claim(now, a.id, false)
	}
	var own, shared []notify.Alarm
	for _, x := range all {
		if ofFleet[x.Kind] {
			shared = append(shared, x)
		} else {
			own = append(own, x)
		}
	}
	events = a.watch.Step(now, own)
	due = a.watch.Claim(now, a.id, false)
	var told []notify.Event
	more := a.together(ctx, now, func(w *notify.Watch, now time.Time) { told = w.Step(now, shared) })
	return append(events, told...), append(due, more...)
}

// settle notes what was sent, and returns what else is due.
func (a *alarms) settle(ctx context.Context, now time.Time) (due []notify.Untold) {
	note(&a.watch, now, a.sent)
	a.save()
	due = a.watch.Claim(now, a.id, false)
	if a.shared == nil {
		a.sent = nil
		return due
	}
	return append(due, a.together(ctx, now, func(*notify.Watch, time.Time) {})...)
}

func note(w *notify.Watch, now time.Time, sent []sentNotice) {
	for i := range sent {
		w.Settle(now, &sent[i].Untold, sent[i].failed)
	}
}

// together notes in the database what was sent, calls step with what is known about alarms of all hosts, and returns what
// this one is to send.
func (a *alarms) together(ctx context.Context, now time.Time, step func(w *notify.Watch, now time.Time)) (due []notify.Untold) {
	var next notify.Watch
	err := a.shared(ctx, func(now time.Time, texts map[string]string) {
		next = notify.Watch{Host: a.watch.Host, Seen: seenOf(texts)}
		if a.common.alone {
			newer(next.Seen, a.common.watch.Seen)
		}
		note(&next, now, a.sent)
		step(&next, now)
		due = next.Claim(now, a.id, false)
		clear(texts)
		for name, s := range next.Seen {
			text, err := json.Marshal(s)
			if err == nil {
				texts[name] = string(text)
			}
		}
	})
	if err == nil {
		a.common, a.sent = common{watch: next}, nil
		return due
	}
	if a.common.alone = true; ctx.Err() == nil {
		a.d.log.Debug("this host sends the alarms of all hosts too: the database does not answer", "error", listener.Text(err))
	}
	a.common.watch.Host = a.watch.Host
	note(&a.common.watch, now, a.sent) // and in the database when it answers
	a.sent = a.sent[max(0, len(a.sent)-maxSent):]
	step(&a.common.watch, now)
	return a.common.watch.Claim(now, a.id, true)
}

// maxSent bounds what was sent and is not noted in the database yet.
const maxSent = 100

func seenOf(texts map[string]string) map[string]*notify.Seen {
	all := map[string]*notify.Seen{}
	for name, text := range texts {
		s := new(notify.Seen)
		if json.Unmarshal([]byte(text), s) == nil {
			all[name] = s
		}
	}
	return all
}

// newer adds what this host told alone.
func newer(all, alone map[string]*notify.Seen) {
	for name, s := range alone {
		if old := all[name]; old == nil || old.Last.Before(s.Last) {
			all[name] = s
		}
	}
}
