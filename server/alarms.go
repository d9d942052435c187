package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postseal"
	"postseal/internal/app/atomicfile"
	"postseal/internal/app/conf"
	"postseal/internal/app/failpoint"
	"postseal/internal/app/notify"
	"postseal/internal/app/rules"
	"postseal/server/listener"
	"postseal/store"
)

// saveEvery is how often the time is saved when an alarm was last there.
const saveEvery = time.Minute

// alarmEvery is how often alarms are looked for.
var alarmEvery = failpoint.Soon(15 * time.Second)

// alarms looks for the problems that [notify] reports, and reports them.
type alarms struct {
	d       *Daemon
	now     func() time.Time
	current atomic.Pointer[conf.Config] // in force
	path    string                      // of the file with the notified alarms; "" keeps them only in memory

	mu    sync.Mutex // of rates
	rates notify.Rates

	watch   notify.Watch                                                                      // of this host
	common  common                                                                            // of all hosts that share the database
	shared  func(ctx context.Context, step func(now time.Time, told map[string]string)) error // nil for a host of its own
	dnsDown time.Time                                                                         // since when; of the goroutine that watches
	dbDown  time.Time
	lost    map[string]int64
	asked   time.Time // when the database was last queried for reports
	failing []notify.Alarm
	id      string // of this start, as a sender
	saved   time.Time
	sent    []sentNotice // that is not noted yet

	stop    context.CancelFunc
	running sync.WaitGroup
}

func newAlarms(d *Daemon, now func() time.Time) *alarms {
	if now == nil {
		now = time.Now
	}
	a := &alarms{d: d, now: now, id: rand.Text(), watch: notify.Watch{Host: Hostname()}}
	if d.fleet != nil {
		a.shared = d.fleet.db.Notices
	}
	if state := conf.StateDir(); state != "" {
		a.path = filepath.Join(state, "notify.json")
		if text, err := os.ReadFile(a.path); err == nil && json.Unmarshal(text, &a.watch.Seen) != nil {
			a.watch.Seen = nil
		}
		a.watch.Resume(a.now())
	}
	return a
}

// start begins to look.
func (a *alarms) start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.running.Go(func() {
		t := time.NewTicker(alarmEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				a.step(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
}

func (a *alarms) close() {
	if a.stop != nil {
		a.stop()
	}
	a.running.Wait()
}

// record counts a verdict.
func (a *alarms) record(v listener.Verdict) {
	applied := v.Report.Decision.Applied
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rates.Add(now, applied == postseal.Reject, applied == postseal.Defer)
}

// step looks for alarms once, and sends a notification of each change.
func (a *alarms) step(ctx context.Context) {
	c := a.current.Load()
	if c == nil {
		return
	}
	defer a.d.engine.Recover("notify", nil)
	now := a.now()
	all := a.alarms(c, now)
	a.d.notices.saw(now, all) // the console shows them whether or not [notify] sends them
	if !c.Notify.Any() {
		return
	}
	events, due := a.turn(ctx, now, all)
	for i := range events {
		e := &events[i]
		a.d.log.Warn("notification", "state", e.State, "kind", e.Kind, "name", listener.Text(e.Name), "text", listener.Text(e.Text))
	}
	if len(events) > 0 || a.watch.On() && now.Sub(a.saved) >= saveEvery {
		a.save()
	}
	for len(due) > 0 && ctx.Err() == nil {
		a.send(ctx, &c.Notify, due)
		due = a.settle(ctx, a.now())
	}
}

// alarms are those of now.
func (a *alarms) alarms(c *conf.Config, now time.Time) (all []notify.Alarm) {
	all = append(all, a.dns(&c.Notify, now)...)
	all = append(all, a.spikes(&c.Notify, now)...)
	all = append(all, a.store(c, now)...)
	all = append(all, a.reports(now)...)
	all = append(all, a.d.audits.news(now)...)
	return append(all, endings(c, now)...)
}

func (a *alarms) dns(n *conf.Notify, now time.Time) []notify.Alarm {
	names := a.d.names.Load()
	if names == nil || names.breaker == nil || !names.breaker.Open() {
		a.dnsDown = time.Time{}
		return nil
	}
	if a.dnsDown.IsZero() {
		a.dnsDown = now
	}
	if now.Sub(a.dnsDown) < time.Duration(n.DNS) {
		return nil
	}
	return []notify.Alarm{{Name: "no name server answers", Kind: "dns", Text: fmt.Sprintf("No name server of %s has answered for %v ([notify] dns). Mail whose verdict needs an answer is deferred.", strings.Join(names.servers, ", "), time.Duration(n.DNS))}}
}

func (a *alarms) spikes(n *conf.Notify, now time.Time) (all []notify.Alarm) {
	a.mu.Lock()
	s, known := a.rates.Spike(now)
	a.mu.Unlock()
	if !known {
		return nil
	}
	for _, x := range []struct {
		name, kind, done string
		applied          postseal.Action
		n                int
		usual            float64
	}{{"many refusals", "refusals", "refused", postseal.Reject, s.Refused, s.UsualRefused}, {"many deferrals", "deferrals", "deferred", postseal.Defer, s.Deferred, s.UsualDeferred}} {
		if notify.IsSpike(x.n, x.usual, n.Spike) {
			all = append(all, notify.Alarm{Name: x.name, Kind: x.kind, Text: fmt.Sprintf("%d messages were %s within ten minutes; %.1f are usual ([notify] spike = %d). See postseal history applied:%s.",
				x.n, x.done, x.usual, n.Spike, x.applied)})
		}
	}
	return all
}

// store reports verdicts that were lost since the last look, and a database that cannot be reached.
func (a *alarms) store(c *conf.Config, now time.Time) (all []notify.Alarm) {
	w := a.d.history.writer
	if w == nil {
		return nil
	}
	s := w.Stats()
	for _, reason := range slices.Sorted(maps.Keys(s.Lost)) {
		if s.Lost[reason] == a.lost[reason] {
			continue
		}
		text := fmt.Sprintf("Verdicts missing in the history since this start: %d (reason %s); this alarm is sent for any loss. See postseal store status.", s.Lost[reason], reason)
		if reason == store.LossCrash {
			text = "The daemon was killed or crashed: an unknown number of verdicts of its last second is missing in the history (reason crash); this alarm is sent for any loss. See postseal store status."
		}
		all = append(all, notify.Alarm{Name: "verdicts are lost: " + reason, Kind: "losses", Text: text})
	}
	a.lost = s.Lost
	if ahead := a.d.history.doubt.ahead.Load(); ahead != nil {
		all = append(all, notify.Alarm{Name: "the clock may be wrong", Kind: "store", Text: fmt.Sprintf("The clock is %d hours ahead of the last sweep of the history; this alarm is sent from 24 on. Nothing is removed because of its age, and no report is made, until the clock is right or has been so for 24 hours.",
			int(ahead.Now.Sub(ahead.Swept).Hours()))})
	}
	switch {
	case !s.Down:
		a.dbDown = time.Time{}
	case a.dbDown.IsZero():
		a.dbDown = now
	case now.Sub(a.dbDown) >= time.Duration(c.Notify.Store):
		all = append(all, notify.Alarm{Name: "the store does not take verdicts", Kind: "store", Text: fmt.Sprintf("The store has not accepted verdicts for %v ([notify] store). Mail is not affected; verdicts wait in the journal, which holds %d bytes of at most %d.",
			time.Duration(c.Notify.Store), s.Pending, c.Store.Journal)})
	}
	return all
}

// The failures of reports that are notified: sweeps in a row, and attempts at one report.
const (
	failedSweeps   = 5
	failedAttempts = 4 // 3 hours and 40 minutes after the first one
	askReports     = 5 * time.Minute
)

// reports returns the alarms about aggregate reports that cannot be made or are not accepted.
func (a *alarms) reports(now time.Time) []notify.Alarm {
	r := a.d.history.reports.Load()
	if r == nil || r.sender == nil {
		return nil
	}
	if now.Sub(a.asked) < askReports {
		return a.failing
	}
	a.asked, a.failing = now, nil
	if n := r.failures.Load(); n >= failedSweeps {
		a.failing = append(a.failing, notify.Alarm{Name: "reports cannot be sent", Kind: "reports", Text: fmt.Sprintf("Making and sending aggregate reports failed %d times in a row; this alarm is sent from %d on. The log says why.", n, failedSweeps)})
	}
	db := a.d.history.reader()
	if db == nil {
		return a.failing
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	open, err := db.DueDeliveries(ctx, store.Millis(now.Add(24*time.Hour)), 1000)
	if err != nil {
		return a.failing // store reports a database that is down
	}
	open = slices.DeleteFunc(open, func(x store.Delivery) bool { return x.Attempts < failedAttempts })
	if len(open) > 0 {
		a.failing = append(a.failing, notify.Alarm{Name: "reports are not accepted", Kind: "reports", Text: fmt.Sprintf("Reports that were not accepted in %[2]d attempts or more: %[1]d, such as that to %[3]s: %[4]q. They expire a day after the first attempt. See postseal report list.",
			len(open), failedAttempts, open[0].Address, open[0].Reply)})
	}
	return a.failing
}

// endings reports exemptions and rules whose last day is near.
func endings(c *conf.Config, now time.Time) (all []notify.Alarm) {
	add := func(what, until string, last time.Time) {
		if left := last.AddDate(0, 0, 1).Sub(now); left > 0 && left <= time.Duration(c.Notify.Exemptions) {
			all = append(all, notify.Alarm{Name: what + " ends on " + until, Kind: "exemption", Text: fmt.Sprintf("The %s ends after %s ([notify] exemptions = %v): extend until or remove it.", what, until, time.Duration(c.Notify.Exemptions))})
		}
	}
	for _, e := range c.Exempt {
		add("exemption of "+exempted(&e), e.Until.String(), e.Until.AsTime(time.UTC))
	}
	for _, r := range c.Rule {
		add("rule "+r.Name, r.Until.String(), r.Until.AsTime(time.UTC))
	}
	return all
}

// exempted names an exemption by its keys.
func exempted(e *rules.Exempt) string {
	var parts []string
	for key, value := range e.Keys {
		parts = append(parts, key+" "+value)
	}
	return strings.Join(parts, ", ")
}

// save writes which alarms were notified.
func (a *alarms) save() {
	if a.saved = a.now(); a.path == "" {
		return
	}
	text, err := json.Marshal(a.watch.Seen)
	if err == nil {
		err = atomicfile.Write(a.path, append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".new-"})
	}
	if err != nil {
		a.d.log.Warn("cannot store which notifications were sent: they may be repeated after a restart", "file", a.path, "error", listener.Text(err))
	}
}

// channels are the ways to notify, by the keys of [notify].
var channels = []string{"command", "webhook", "mail"}

// channel returns the channel with a name, nil if [notify] does not set it.
func channel(name string, n *conf.Notify) (notify.Channel, error) {
	switch {
	case name == "command" && len(n.Command) > 0:
		return notify.Command(n.Command), nil
	case name == "webhook" && n.WebhookFile != "":
		u, err := n.Webhook()
		return notify.Webhook(u), err
	case name == "mail" && len(n.Mail) > 0:
		m := notify.Mail{From: n.From, To: n.Mail}
		if m.From == "" {
			m.From = "postseal@" + Hostname()
		}
		m.Network, m.SmartHost = n.SmartHost.Network()
		return m, nil
	}
	return nil, nil
}

// sentNotice is the outcome of an attempt at a notification.
type sentNotice struct {
	notify.Untold
	failed bool
}

// send tries the channels that have not accepted a notification yet.
func (a *alarms) send(ctx context.Context, n *conf.Notify, due []notify.Untold) {
	a.save() // the attempt
	failpoint.Reach("noted")
	for _, u := range due {
		x := sentNotice{Untold: u}
		for _, name := range channels {
			if slices.Contains(x.Told, name) {
				continue
			}
			c, err := channel(name, n)
			if err == nil && c != nil {
				err = c.Send(ctx, &u.Event)
			}
			if err == nil {
				x.Told = append(slices.Clip(x.Told), name)
				continue
			}
			x.failed = true
			a.d.log.Error("a notification could not be sent", "by", name, "attempt", u.Attempts, "of", notify.MaxAttempts, "error", listener.Text(err))
		}
		a.sent = append(a.sent, x)
	}
	failpoint.Reach("notified")
}
