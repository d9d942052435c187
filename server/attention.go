package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/history"
	"postseal/internal/app/notify"
	"postseal/server/web/ui"
	"postseal/store"
)

// The rules for what needs a look, beyond those of [notify].
const (
	spikeAuthors  = 3                // that are named for one action
	deferredLeast = 5                // messages of an author deferred within an hour
	historyEvery  = 20 * time.Second // the pause between two looks at the history, for all viewers
	alarmLasts    = 10 * time.Minute // that an alarm is shown after it was last true
	lossLasts     = 24 * time.Hour   // that lost verdicts are shown
)

// attention is what needs a person: the alarms of [notify], whether or not they are sent, and what
// only the history tells.
type attention struct {
	d *Daemon

	mu      sync.Mutex
	present map[string]*seenAlarm // by name
	asked   time.Time             // when the history was last asked
	senders []ui.Item             // what it told
	asking  bool
	refused string // what is wrong with the configuration file, "" if it is in force
	since   time.Time
}

// seenAlarm is an alarm with the times at which it was true.
type seenAlarm struct {
	notify.Alarm
	first, last time.Time
}

func newAttention(d *Daemon) *attention {
	return &attention{d: d, present: map[string]*seenAlarm{}}
}

// saw keeps the alarms of a moment.
func (a *attention) saw(now time.Time, alarms []notify.Alarm) {
	const most = 100
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range alarms {
		s := a.present[x.Name]
		if s == nil {
			if len(a.present) >= most {
				continue
			}
			s = &seenAlarm{first: now}
			a.present[x.Name] = s
		}
		s.Alarm, s.last = x, now
	}
	for name, s := range a.present {
		lasts := alarmLasts
		if s.Kind == "losses" {
			lasts = lossLasts
		}
		if now.Sub(s.last) > lasts {
			delete(a.present, name)
		}
	}
}

// reloaded keeps why a configuration was refused; nil is one that is in force.
func (a *attention) reloaded(now time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused, a.since = "", now; err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		a.refused = store.Clean(first)
	}
}

// trouble says that the configuration file is not in force, "" if it is.
func (a *attention) trouble() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused == "" {
		return ""
	}
	return "The configuration file was refused; the previous one is in force. " + a.refused
}

// answer is GET /v1/attention.
func (a *attention) answer(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	return a.list(r.Context()), nil
}

// list returns what needs a look now.
func (a *attention) list(ctx context.Context) *ui.Attention {
	senders := a.fromHistory(ctx)
	list := slices.Clone(senders)
	a.mu.Lock()
	if a.refused != "" {
		list = append(list, ui.Item{Kind: "config", Severity: "error", Text: "The configuration file was refused", Detail: "The previous one is in force. " + a.refused, Rule: "a reload that failed", Link: "/system", Since: a.since.UTC()})
	}
	for _, s := range a.present {
		if !slices.ContainsFunc(senders, func(x ui.Item) bool { return x.Kind == s.Kind }) { // the history names the sender
			list = append(list, itemOf(s, &a.d.engine.Current().Config.Notify))
		}
	}
	a.mu.Unlock()
	for i := range list {
		sum := sha256.Sum256([]byte(list[i].Kind + "\x00" + list[i].Text))
		list[i].ID = list[i].Kind + "-" + hex.EncodeToString(sum[:4])
	}
	slices.SortFunc(list, func(x, y ui.Item) int {
		return cmp.Or(cmp.Compare(x.Severity, y.Severity), x.Since.Compare(y.Since), cmp.Compare(x.ID, y.ID))
	})
	return &ui.Attention{Schema: ui.AttentionSchema, Items: append([]ui.Item{}, list...), Health: a.d.health()}
}

// ruleOf says which threshold an alarm has passed.
func ruleOf(kind string, n *conf.Notify) string {
	switch kind {
	case "refusals", "deferrals":
		return fmt.Sprintf("at least 20 messages within 10 minutes, and more than %d times the usual number ([notify] spike)", n.Spike)
	case "dns":
		return fmt.Sprintf("no answer for %v ([notify] dns)", time.Duration(n.DNS))
	case "losses":
		return "any loss, for a day"
	case "store":
		return fmt.Sprintf("nothing stored for %v ([notify] store), or a clock that is ahead by 24 hours", time.Duration(n.Store))
	case "reports":
		return fmt.Sprintf("%d failures in a row, or %d attempts at one report", failedSweeps, failedAttempts)
	case "exemption":
		return fmt.Sprintf("%v before the last day ([notify] exemptions)", time.Duration(n.Exemptions))
	case "watch":
		return "a change within a day"
	}
	return "the threshold of this kind in [notify]"
}

// itemOf shows an alarm.
func itemOf(s *seenAlarm, n *conf.Notify) ui.Item {
	i := ui.Item{Kind: s.Kind, Severity: "error", Text: upperFirst(store.Clean(s.Name)), Detail: store.Clean(s.Text), Rule: ruleOf(s.Kind, n), Link: "/system", Since: s.first.UTC()}
	switch s.Kind {
	case "refusals":
		i.Link = search("applied:reject since:10m")
	case "deferrals", "dns":
		i.Link = search("applied:defer since:1h")
	case "reports":
		i.Link, i.Severity = "/reports/out", "warning"
	case "exemption":
		i.Severity = "warning"
	case "watch":
		i.Text = store.Clean(s.Name) // it begins with a domain name
		i.Link, i.Severity = "/audit/"+url.PathEscape(strings.TrimSuffix(s.Name, " changed")), "warning"
	}
	return i
}

func upperFirst(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

func search(q string) string { return "/search?" + url.Values{"q": {q}}.Encode() }

// fromHistory returns the authors whose mail is refused or deferred unusually often. One viewer asks
// for all; while it does, the others get the answer of before.
func (a *attention) fromHistory(ctx context.Context) []ui.Item {
	now := a.d.history.now()
	db := a.d.history.reader()
	a.mu.Lock()
	if old := a.senders; a.asking || db == nil || !a.asked.IsZero() && now.Sub(a.asked) < historyEvery {
		a.mu.Unlock()
		return old
	}
	a.asking, a.asked = true, now
	a.mu.Unlock()
	var found []ui.Item
	times := a.d.engine.Current().Config.Notify.Spike
	for _, rule := range []spikeRule{{"reject", "rejected", "refusals", "10m", "10 minutes", 10 * time.Minute, 20}, {"defer", "deferred", "deferrals", "1h", "the last hour", time.Hour, deferredLeast}} {
		found = append(found, rule.look(ctx, db, now, times)...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range found {
		found[i].Since = now.UTC()
		for k := range a.senders {
			if a.senders[k].Kind == found[i].Kind && a.senders[k].Link == found[i].Link {
				found[i].Since = a.senders[k].Since
			}
		}
	}
	a.asking, a.senders = false, found
	return found
}

// spikeRule finds the authors with an unusual number of messages with an action.
type spikeRule struct {
	action, done, kind, period, words string
	length                            time.Duration
	least                             int
}

func (s *spikeRule) look(ctx context.Context, db store.Reader, now time.Time, times int) (found []ui.Item) {
	const day = 24 * time.Hour
	page := figures(ctx, db, now, fmt.Sprintf("applied:%s since:%s", s.action, s.period))
	if page == nil {
		return nil
	}
	for _, author := range page.Top["author"] {
		if author.Count < s.least || author.Value == "" || len(found) == spikeAuthors {
			continue
		}
		q := "applied:" + s.action + " author:" + author.Value
		all := figures(ctx, db, now, q+" since:24h")
		if all == nil {
			continue
		}
		usual := float64(max(all.Count-author.Count, 0)) / float64(day/s.length-1)
		if float64(author.Count) <= float64(times)*usual {
			continue
		}
		found = append(found, ui.Item{Kind: s.kind, Severity: "error", Text: fmt.Sprintf("%d %s for %s in %s", author.Count, s.done, store.Clean(author.Value), s.words),
			Detail: fmt.Sprintf("%s Usually %.1f in this time.", senders(figures(ctx, db, now, q+" since:"+s.period)), usual),
			Rule:   fmt.Sprintf("at least %d messages of an author, and more than %d times the usual number ([notify] spike)", s.least, times), Link: search(q + " since:" + s.period)})
	}
	return found
}

// figures counts what a search finds, nil if the history does not tell in time.
func figures(ctx context.Context, db store.Reader, now time.Time, terms string) *history.Page {
	q, err := store.ParseQuery(terms, now, nil)
	if err != nil {
		return nil
	}
	page, err := history.Find(ctx, db, q, history.Options{Limit: 1, Figures: true, Budget: searchTime})
	if err != nil || page.CountIs == "unknown" {
		return nil
	}
	return page
}

// senders says who sent the messages of a page, and why they were not accepted.
func senders(p *history.Page) string {
	if p == nil || len(p.Top["mailfrom"]) == 0 {
		return ""
	}
	first := p.Top["mailfrom"][0]
	text := "Sent by " + store.Clean(cmp.Or(first.Value, "unknown senders"))
	switch others := p.Count - first.Count; {
	case others == 0:
	case len(p.Top["mailfrom"]) == 1:
		text += " and others"
	default:
		text += fmt.Sprintf(" (%d) and others", first.Count)
	}
	return text + "."
}
