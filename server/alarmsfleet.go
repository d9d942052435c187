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

// events turns the alarms of now into what there is to tell. Of hosts that share a database, one tells
// each alarm of all; while the database is away, each host speaks for itself.
func (a *alarms) events(ctx context.Context, now time.Time, all []notify.Alarm) []notify.Event {
	if a.shared == nil {
		return a.watch.Step(now, all)
	}
	var own, shared []notify.Alarm
	for _, x := range all {
		if ofFleet[x.Kind] {
			shared = append(shared, x)
		} else {
			own = append(own, x)
		}
	}
	events := a.watch.Step(now, own)
	var told []notify.Event
	var next notify.Watch
	err := a.shared(ctx, func(now time.Time, texts map[string]string) {
		next = notify.Watch{Host: a.watch.Host, Seen: seenOf(texts)}
		if a.common.alone {
			newer(next.Seen, a.common.watch.Seen)
		}
		told = next.Step(now, shared)
		clear(texts)
		for name, s := range next.Seen {
			text, err := json.Marshal(s)
			if err == nil {
				texts[name] = string(text)
			}
		}
	})
	if err == nil {
		a.common = common{watch: next}
		return append(events, told...)
	}
	if a.common.alone = true; ctx.Err() == nil {
		a.d.log.Debug("alarms of all hosts are told by this one too: the database does not answer", "error", listener.Text(err))
	}
	a.common.watch.Host = a.watch.Host
	return append(events, a.common.watch.Step(now, shared)...)
}

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
