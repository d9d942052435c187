package server

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal"
	"postseal/internal/app/rules"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of counting the hits of exemptions and rules in the history, and when their end is near.
const (
	hitRows    = 20_000 // of each table
	hitPage    = 1000
	hitTime    = 1500 * time.Millisecond // for both
	hitDays    = 30
	endsWithin = 14 * 24 * time.Hour
)

// exemptions lists the local policy with how often each entry decided.
func (d *Daemon) exemptions(ctx context.Context) (*ui.Exemptions, error) {
	c, now := d.engine.Current().Config, d.history.now().UTC()
	x := &ui.Exemptions{Schema: ui.ExemptSchema, Entries: []ui.ExemptEntry{}, Suggestions: []ui.ExemptSuggestion{}, Since: now.AddDate(0, 0, -hitDays)}
	for i := range c.Exempt {
		e := &c.Exempt[i]
		var keys []string
		for key, value := range e.Keys {
			keys = append(keys, key+"="+value)
		}
		label := strings.Join(keys, " ")
		x.Entries = append(x.Entries, ended(ui.ExemptEntry{Table: "exempt", Index: i + 1, Label: label, Entry: label, Action: string(postseal.Accept), Why: e.Why, TOML: e.TOML()}, e.Until, now))
	}
	for i := range c.Rule {
		r := &c.Rule[i]
		entry := r.When
		if r.Name != "" {
			entry = r.Name + ": " + r.When
		}
		x.Entries = append(x.Entries, ended(ui.ExemptEntry{Table: "rule", Index: i + 1, Label: r.Name, Entry: entry, Action: r.Action, Why: r.Why, TOML: r.TOML()}, r.Until, now))
	}
	d.addErrors(x)
	db := d.history.reader()
	if db == nil {
		x.Counted = d.history.noHistory().Error()
		return x, nil
	}
	list, err := suggestions(ctx, db, now)
	if err != nil {
		return nil, err
	}
	x.Suggestions = list
	if len(x.Entries) == 0 {
		return x, nil
	}
	end := time.Now().Add(hitTime)
	for table, reason := range map[string]postseal.Reason{"exempt": postseal.LocalExempt, "rule": postseal.LocalRule} {
		if err := countHits(ctx, db, x, table, reason, now, end); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// ended adds when an entry ends.
func ended(e ui.ExemptEntry, until toml.LocalDate, now time.Time) ui.ExemptEntry {
	e.Asked = map[string]int{}
	if until == (toml.LocalDate{}) {
		return e
	}
	left := until.AsTime(time.UTC).AddDate(0, 0, 1).Sub(now)
	e.Until, e.Ended, e.Days = until.String(), left <= 0, int(max(left, 0)/(24*time.Hour))
	e.Ending = !e.Ended && left <= endsWithin
	return e
}

// addErrors adds how often an entry could not be evaluated since the configuration was read.
func (d *Daemon) addErrors(x *ui.Exemptions) {
	policy, ok := d.engine.Current().Verifier.Config().Policy.(*rules.Policy)
	if !ok || policy.Set == nil {
		return
	}
	for _, u := range policy.Set.Uses() {
		if e := entryOf(x, u.Table, u.Table+" "+u.Entry); e != nil {
			e.Errors = u.Errors
		}
	}
}

// countHits reads what the entries of a table decided within 30 days.
func countHits(ctx context.Context, db store.Reader, x *ui.Exemptions, table string, reason postseal.Reason, now, end time.Time) error {
	q, err := store.ParseQuery("reason:"+string(reason)+" since:30d", now, nil)
	if err != nil {
		return err
	}
	week := now.AddDate(0, 0, -7)
	var before int64
	for n := 0; ; {
		page, err := store.Search(ctx, db, q, before, hitPage, max(time.Until(end), time.Millisecond))
		if err != nil {
			return err
		}
		for i := range page.Rows {
			hit(x, table, &page.Rows[i], week)
		}
		n, before = n+len(page.Rows), page.Next
		switch {
		case page.Reached != 0 || page.Next != 0 && n >= hitRows:
			reached := page.Reached
			if reached == 0 {
				reached = page.Rows[len(page.Rows)-1].Millis
			}
			x.Counted, x.Since = "the history is large: hits are counted since the time given only", later(x.Since, store.Time(reached))
			return nil
		case page.Next == 0:
			return nil
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hit counts a verdict for the entry that decided it. The newest come first.
func hit(x *ui.Exemptions, table string, r *store.Row, week time.Time) {
	e := entryOf(x, table, r.Why)
	if e == nil || table == "exempt" && r.Action != string(postseal.Accept) {
		return // of an entry that is gone, or one that a failed lookup left open
	}
	at := store.Time(r.Millis).UTC()
	if e.Month++; at.After(week) {
		e.Week++
	}
	if e.LastRef == "" {
		e.LastRef, e.LastSeen = r.Ref, &at
	}
	if r.P != "" {
		e.Asked[r.P]++
	}
}

// entryOf finds the entry that the text of an override names: "exempt 1 dkim=a.test: why". Its number
// may have changed since, so what it matches or its name decides; a rule without a name has only its
// number.
func entryOf(x *ui.Exemptions, table, text string) *ui.ExemptEntry {
	rest, ok := strings.CutPrefix(text, table+" ")
	if !ok {
		return nil
	}
	for i := range x.Entries {
		e := &x.Entries[i]
		label := rest
		if e.Label != "" {
			_, label, _ = strings.Cut(rest, " ") // without its number
		}
		want := cmp.Or(e.Label, strconv.Itoa(e.Index))
		if e.Table == table && (label == want || strings.HasPrefix(label, want+": ")) {
			return e
		}
	}
	return nil
}
