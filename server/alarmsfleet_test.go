package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/notify"
)

// noticeTable is a database of notices, which may be away. Its clock differs from that of the hosts.
func noticeTable(now *time.Time, away *bool) func(context.Context, func(time.Time, map[string]string)) error {
	table := map[string]string{}
	return func(_ context.Context, step func(time.Time, map[string]string)) error {
		if *away {
			return errors.New("away")
		}
		told := maps.Clone(table)
		step(now.Add(time.Second), told)
		table = told
		return nil
	}
}

// TestAlarmsOfFleet: of three hosts, one tells each alarm that is about all of them, and one tells that
// it is over, also if the host that told it is gone. Each tells what is about itself. While the database is
// away, each tells for itself, and nothing twice when it is back.
func TestAlarmsOfFleet(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	away := false
	database := noticeTable(&now, &away)
	var hosts []*alarms
	for i := range 3 {
		hosts = append(hosts, &alarms{d: &Daemon{log: slog.New(slog.DiscardHandler)}, now: func() time.Time { return now }, shared: database, id: fmt.Sprint(i), watch: notify.Watch{Host: fmt.Sprint("mx", i+1)}})
	}
	refusals := notify.Alarm{Name: "many refusals", Kind: "refusals", Text: "x"}
	ends := notify.Alarm{Name: "rule x ends", Kind: "exemption", Text: "x"}
	lost := notify.Alarm{Name: "verdicts are lost: disk", Kind: "losses", Text: "x"}
	step := func(after time.Duration, hosts []*alarms, all ...notify.Alarm) string {
		now = now.Add(after)
		var told []string
		for _, h := range hosts {
			_, due := h.turn(t.Context(), now, all)
			for len(due) > 0 {
				for _, u := range due {
					told = append(told, u.Event.Host+" "+u.Event.Name+" "+u.Event.State)
					h.sent = append(h.sent, sentNotice{Untold: u})
				}
				due = h.settle(t.Context(), now)
			}
		}
		slices.Sort(told)
		return strings.Join(told, "; ")
	}
	for i, test := range []struct {
		what  string
		after time.Duration
		away  bool
		hosts []*alarms
		all   []notify.Alarm
		want  string
	}{
		{"all see it", 0, false, hosts, []notify.Alarm{refusals}, "mx1 many refusals begins"},
		{"it goes on", time.Minute, false, hosts, []notify.Alarm{refusals}, ""},
		{"one alone sees it", 9 * time.Minute, false, hosts[1:2], []notify.Alarm{refusals}, ""},
		{"others do not", 5 * time.Minute, false, hosts, nil, ""},
		{"the first is gone, and it is over", 6 * time.Minute, false, hosts[1:], nil, "mx2 many refusals over"},
		{"of one host each", 0, false, hosts, []notify.Alarm{lost}, "mx1 verdicts are lost: disk begins; mx2 verdicts are lost: disk begins; mx3 verdicts are lost: disk begins"},
		{"known before the database is away", time.Minute, false, hosts, []notify.Alarm{ends, lost}, "mx1 rule x ends begins"},
		{"a host sees what was told", 0, false, hosts, []notify.Alarm{ends, lost}, ""},
		{"away: each for itself", time.Minute, true, hosts, []notify.Alarm{ends, refusals, lost}, "mx1 many refusals begins; mx2 many refusals begins; mx3 many refusals begins"},
		{"back: nothing twice", time.Minute, false, hosts, []notify.Alarm{ends, refusals, lost}, ""},
		{"over once", 20 * time.Minute, false, hosts[1:], []notify.Alarm{ends, lost}, "mx2 many refusals over"},
	} {
		away = test.away
		if got := step(test.after, test.hosts, test.all...); got != test.want {
			t.Errorf("%d, %s: told %q, want %q", i, test.what, got, test.want)
		}
	}
}

// TestAlarmOfDeadHost: a notification whose host died after it was noted and before it was sent is told by another
// host; one that was sent while the database was away is not told again.
func TestAlarmOfDeadHost(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	away := false
	database := noticeTable(&now, &away)
	host := func(id string) *alarms {
		return &alarms{d: &Daemon{log: slog.New(slog.DiscardHandler)}, now: func() time.Time { return now }, shared: database, id: id, watch: notify.Watch{Host: id}}
	}
	refusals := []notify.Alarm{{Name: "many refusals", Kind: "refusals", Text: "x"}}
	if _, due := host("mx1").turn(t.Context(), now, refusals); len(due) != 1 { // and dies
		t.Fatalf("%+v", due)
	}
	second, third := host("mx2"), host("mx3")
	if _, due := second.turn(t.Context(), now, refusals); len(due) != 0 {
		t.Errorf("it is being sent: %+v", due)
	}
	now = now.Add(6 * time.Minute)
	_, due := second.turn(t.Context(), now, refusals)
	if len(due) != 1 || due[0].Event.State != notify.Begins || due[0].Attempts != 2 {
		t.Fatalf("another host: %+v", due)
	}
	away = true
	second.sent = append(second.sent, sentNotice{Untold: due[0]})
	if more := second.settle(t.Context(), now); len(more) != 0 {
		t.Errorf("%+v", more)
	}
	now = now.Add(time.Minute)
	second.turn(t.Context(), now, refusals)
	away = false
	for _, h := range []*alarms{second, third} {
		if _, due := h.turn(t.Context(), now, refusals); len(due) != 0 {
			t.Errorf("told again: %+v", due)
		}
	}
	now = now.Add(time.Hour)
	if _, due := third.turn(t.Context(), now, refusals); len(due) != 0 {
		t.Errorf("told again later: %+v", due)
	}
}
