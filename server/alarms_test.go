package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/store"
)

// told are the names of the events that the command of a daemon got since the last call.
func told(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	os.Remove(file)
	return string(text)
}

// TestAlarms: each thing that goes wrong is told once with its threshold, and once when it is
// over; what could not be told is tried again.
func TestAlarms(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "told")
	script := filepath.Join(dir, "tell")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ -e '"+dir+"/broken' ] && exit 1\n{ echo \"$POSTSEAL_STATE\"; cat; } >>'"+out+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	d := run(t, listeners+storeTable(dir)+"[notify]\ncommand = ['"+script+"']\n[[exempt]]\ndkim = 'lists.example.net'\nwhy = 'x'\nuntil = 2099-01-01\n[[exempt]]\ndkim = 'soon.example.net'\nwhy = 'x'\nuntil = 2099-12-02\n")
	a := newAlarms(d.Daemon, func() time.Time { return now })
	a.path = filepath.Join(dir, "notify.json")
	a.watch.Seen = nil
	c := *d.config
	a.current.Store(&c)
	step := func(after time.Duration, want ...string) {
		t.Helper()
		now = now.Add(after)
		a.step(t.Context())
		got := told(t, out)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("after %v: %q is not told in %q", after, w, got)
			}
		}
		if len(want) == 0 && got != "" {
			t.Errorf("after %v: told %q", after, got)
		}
	}
	step(0)
	d.history.writer.Lose(store.LossDisk, 7)
	step(time.Minute, "begins\n", "verdicts are lost: disk", "Verdicts missing in the history since this start: 7 (reason disk)", "for any loss")
	step(time.Minute)
	step(15*time.Minute, "over\n", "Over after 0s", "verdicts are lost: disk")
	verdict := listener.Verdict{Report: &postseal.Report{Decision: postseal.Decision{Applied: postseal.Reject}}}
	for range 100 {
		a.record(listener.Verdict{Report: &postseal.Report{Decision: postseal.Decision{Applied: postseal.Accept}}})
		step(time.Minute)
	}
	for range 25 {
		a.record(verdict)
	}
	step(0, "many refusals", "25 messages were refused within ten minutes; 0.0 are usual ([notify] spike = 3)", "applied:reject")
	os.WriteFile(filepath.Join(dir, "broken"), nil, 0o600)
	step(21 * time.Minute)
	os.Remove(filepath.Join(dir, "broken"))
	step(3*time.Minute, "over\n", "many refusals")
	now = time.Date(2099, 11, 28, 0, 0, 0, 0, time.UTC)
	step(0, "exemption of dkim soon.example.net ends on 2099-12-02", "exemptions = 168h")
	text, err := os.ReadFile(a.path)
	if err != nil || !strings.Contains(string(text), "soon.example.net") {
		t.Errorf("what was told is not kept: %s, %v", text, err)
	}
}

// TestAlarmDNS: silence of the name servers is told after its threshold.
func TestAlarmDNS(t *testing.T) {
	dir := t.TempDir()
	d := run(t, listeners+storeTable(dir)+"[notify]\ncommand = ['/bin/true']\n")
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	a := newAlarms(d.Daemon, func() time.Time { return now })
	silent := middleware.NewBreaker(failing{}, middleware.BreakerOptions{Probe: failing{}})
	d.names.Load().breaker = silent
	for i := range 100 {
		silent.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT)
	}
	eventually(t, "the breaker", func() bool {
		silent.Lookup(t.Context(), "x.test", resolver.TXT)
		return silent.Open()
	})
	n := &conf.Notify{DNS: conf.Duration(2 * time.Minute)}
	if got := a.dns(n, now); len(got) > 0 {
		t.Errorf("at once: %+v", got)
	}
	now = now.Add(2 * time.Minute)
	if got := a.dns(n, now); len(got) != 1 || got[0].Kind != "dns" || !strings.Contains(got[0].Text, "zone files has answered for 2m0s ([notify] dns)") {
		t.Errorf("%+v", got)
	}
}

// TestAlarmReports: reports that cannot be made, and one that is not accepted in four attempts,
// are told; one that was deferred once is not.
func TestAlarmReports(t *testing.T) {
	d := run(t, reportingConfig(t, t.TempDir())+"[notify]\ncommand = ['/bin/true']\n")
	eventually(t, "the store", func() bool { return d.history.reader() != nil })
	db := d.history.reader()
	now := time.Now()
	day := store.DayOf(store.Millis(now)) - 1
	ctx := t.Context()
	if err := db.AddReports(ctx, []store.Outgoing{{Day: day, Domain: "acme.test", ID: "1", File: "f", State: store.ReportBuilt}}); err != nil {
		t.Fatal(err)
	}
	x := store.Delivery{Day: day, Domain: "acme.test", URI: "mailto:d@acme.test", Address: "d@acme.test", State: store.DeliveryDue, Token: "0123456789abcdef"}
	if err := db.SealReport(ctx, day, "acme.test", "", []store.Delivery{x}); err != nil {
		t.Fatal(err)
	}
	a := newAlarms(d.Daemon, time.Now)
	kinds := func() (all []string) {
		now = now.Add(askReports)
		for _, alarm := range a.reports(now) {
			all = append(all, alarm.Name+": "+alarm.Text)
		}
		return all
	}
	for i := range 4 {
		if got := kinds(); len(got) > 0 {
			t.Errorf("after %d attempts: %v", i, got)
		}
		at := store.Millis(now)
		if ok, err := db.Lease(ctx, x, at, at+1); !ok || err != nil {
			t.Fatal(ok, err)
		}
		x.State, x.Reply, x.NextAt = store.DeliveryDue, "451 later", at+2
		if err := db.EndAttempt(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	d.history.reports.Load().failures.Store(failedSweeps)
	got := strings.Join(kinds(), "\n")
	for _, want := range []string{"reports cannot be sent", "failed 5 times in a row", "reports are not accepted", `d@acme.test: "451 later"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not told in %q", want, got)
		}
	}
}

type failing struct{}

func (failing) Lookup(context.Context, string, resolver.Type) (resolver.Answer, error) {
	return resolver.Answer{}, &resolver.Error{Kind: resolver.Timeout, Err: errors.New("silent")}
}
