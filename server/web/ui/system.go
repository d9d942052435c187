package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/internal/app/history"
	"postseal/server/web"
	"postseal/store"
)

// systemData is the data of the page System.
type systemData struct {
	Words  string
	State  *State // of the history
	Store  *history.Status
	System *System
	Levels []string
	Types  []string
	Name   string // of the box "look up"
	Type   string
	Answer *LookedUp
	Wrong  string // what is wrong with an act or with Name
	Worst  string // of the checks: ok, warn or bad; "" if they were not run
}

var (
	logLevels   = []string{"debug", "info", "warn", "error"}
	lookupTypes = []string{"TXT", "A", "AAAA", "MX", "NS", "CNAME", "PTR", "SOA", "TLSA", "CAA", "DS"}
)

// system answers: does it run as it should, and what runs out?
func (u *ui) system(rw http.ResponseWriter, r *http.Request) { u.showSystem(rw, r, http.StatusOK, "") }

func (u *ui) showSystem(rw http.ResponseWriter, r *http.Request, status int, wrong string) {
	q := r.URL.Query()
	d := &systemData{System: u.source.System(r.Context(), q.Get("checks") == "1"), Levels: logLevels, Types: lookupTypes, Name: q.Get("name"), Type: q.Get("type"), Wrong: wrong}
	if d.Name != "" && r.Method == http.MethodGet {
		answer, err := u.source.LookUp(r.Context(), d.Name, d.Type)
		if err != nil {
			d.Wrong = "The lookup was not made: " + store.Clean(err.Error())
		} else {
			d.Answer, d.Name, d.Type = answer, answer.Name, answer.Type
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	r = r.WithContext(ctx)
	db, why := u.source.Store()
	if db == nil {
		d.State = &State{"off", why, ""}
	} else if s, err := history.StatusOf(r.Context(), db, u.source.Now()); err != nil {
		d.State = failedState(r, err, "The store does not answer")
	} else {
		d.Store = s
	}
	d.Worst = worstOf(d.System.Checks)
	d.Words = d.words(u.source.Frame().Trouble, u.source.Now())
	u.show(rw, r, status, "system", "System", 0, d)
}

// words is the first line: what is wrong, or that nothing is.
func (d *systemData) words(trouble string, now time.Time) string {
	s := d.System
	wrong := []string{}
	for i := range s.Hosts {
		h := &s.Hosts[i]
		switch {
		case h.Away:
			wrong = append(wrong, "host "+h.Name+" is away")
		case h.Skewed:
			wrong = append(wrong, fmt.Sprintf("the clock of %s is wrong by %v", h.Name, time.Duration(h.SkewMS)*time.Millisecond))
		case h.Lagging:
			wrong = append(wrong, "host "+h.Name+" is behind with its verdicts")
		}
	}
	silent := slices.DeleteFunc(slices.Clone(s.Resolver.Servers), func(n NameServer) bool { return n.Error == "" })
	switch {
	case trouble != "":
		return trouble
	case s.Resolver.Down:
		return "No name server answers."
	case len(silent) > 0:
		return "The name server " + silent[0].Server + " does not answer."
	case d.Worst == "bad":
		return "A check fails: see below."
	case d.State != nil:
		return d.State.Text
	case len(wrong) > 0:
		text := strings.Join(wrong, "; ")
		return strings.ToUpper(text[:1]) + text[1:] + "."
	case d.Store.Clock != "":
		return "The clock may be wrong: " + d.Store.Clock
	case len(d.Store.Lost) > 0:
		return "Verdicts are missing from the history: see below."
	}
	return fmt.Sprintf("All is well on %s, which has run for %s.", s.Host, ranFor(now.Sub(s.Started)))
}

// ranFor is a duration in words.
func ranFor(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return "a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func worstOf(checks []doctor.Finding) string {
	if len(checks) == 0 {
		return ""
	}
	return checkTone(doctor.Worst(checks))
}

// checkTone is the class of the outcome of a check.
func checkTone(l doctor.Level) string {
	switch l {
	case doctor.OK:
		return "ok"
	case doctor.Warn:
		return "warn"
	case doctor.Skip:
		return "none"
	}
	return "bad"
}

// systemAct reloads the configuration, or sets the level of the log.
func (u *ui) systemAct(rw http.ResponseWriter, r *http.Request) {
	const longest = 4 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	switch r.PostFormValue("act") {
	case "reload":
		if err := u.source.Reload(r.Context()); err != nil {
			u.showConfig(rw, r, http.StatusConflict, err.Error())
			return
		}
		http.Redirect(rw, r, "/system/config", http.StatusSeeOther)
	case "level":
		if err := u.source.SetLogLevel(r.PostFormValue("level")); err != nil {
			u.showSystem(rw, r, http.StatusBadRequest, store.Clean(err.Error()))
			return
		}
		http.Redirect(rw, r, "/system#log", http.StatusSeeOther)
	default:
		u.showSystem(rw, r, http.StatusBadRequest, "act is not one of reload, level")
	}
}

// configData is the data of the configuration's page.
type configData struct {
	State    *State
	Config   *Configuration
	Words    string
	Wrong    string
	Refused  bool
	Tables   []configTable
	Key      string // that is explained
	About    string
	All      bool // shows defaults too
	Restarts bool
}

// configTable is a table of the configuration, or one entry.
type configTable struct {
	Name string
	Keys []conf.Key
}

// config answers: what is in force, and would a reload change it?
func (u *ui) config(rw http.ResponseWriter, r *http.Request) { u.showConfig(rw, r, http.StatusOK, "") }

func (u *ui) showConfig(rw http.ResponseWriter, r *http.Request, status int, wrong string) {
	d := &configData{Wrong: wrong, Key: store.Clean(r.URL.Query().Get("key"))}
	d.About = conf.About(d.Key)
	c, err := u.source.Configuration(r.Context())
	if err != nil {
		d.Words = "The configuration cannot be shown."
		d.State = failedState(r, err, "The daemon did not say what is in force")
		u.show(rw, r, http.StatusServiceUnavailable, "systemconfig", "Configuration", 0, d)
		return
	}
	d.Config, d.Refused = c, c.Refused()
	for _, k := range c.Keys {
		entry, _, _ := strings.Cut(k.Path, "].")
		if n := len(d.Tables); n == 0 || d.Tables[n-1].Name != k.Table || k.Name == d.Tables[n-1].Keys[0].Name || strings.HasPrefix(k.Table, "[[") && !strings.HasPrefix(d.Tables[n-1].Keys[0].Path, entry+"].") {
			d.Tables = append(d.Tables, configTable{Name: k.Table})
		}
		t := &d.Tables[len(d.Tables)-1]
		t.Keys = append(t.Keys, k)
	}
	d.Restarts = slices.ContainsFunc(c.Changes, func(x conf.Change) bool { return x.Restart })
	errors := 0
	for i := range c.Problems {
		if !c.Problems[i].Warning {
			errors++
		}
	}
	switch {
	case d.Refused:
		d.Words = plural(errors, "error", "errors") + " in the configuration file: a reload would be refused."
	case len(c.Changes) > 0:
		d.Words = "The configuration file differs from what is in force: a reload would make " + plural(len(c.Changes), "change", "changes") + "."
	case c.File == "":
		d.Words = "No configuration file is used: the defaults are in force."
	default:
		d.Words = "The configuration file is in force."
	}
	u.show(rw, r, status, "systemconfig", "Configuration", 0, d)
}

// KeyLink is the URL of the page with a key explained.
func (d *configData) KeyLink(k conf.Key) string {
	return "/system/config?" + url.Values{"key": {k.Path}}.Encode() + "#about"
}

// exemptData is the data of the page of exemptions and rules.
type exemptData struct {
	State  *State
	Words  string
	Exempt *Exemptions
}

// exempt answers: which mail do I decide about myself, is it still needed, and what ends soon?
func (u *ui) exempt(rw http.ResponseWriter, r *http.Request) {
	d := &exemptData{}
	x, err := u.source.Exemptions(r.Context())
	var refusal *web.Refusal
	switch {
	case errors.As(err, &refusal):
		d.Words, d.State = "The exemptions cannot be shown.", &State{"failed", refusal.Detail, ""}
		u.show(rw, r, refusal.Status, "systemexempt", "Exemptions and rules", 0, d)
		return
	case err != nil:
		d.Words, d.State = "The exemptions cannot be shown.", failedState(r, err, "The history cannot be read")
		u.show(rw, r, http.StatusServiceUnavailable, "systemexempt", "Exemptions and rules", 0, d)
		return
	}
	d.Exempt = x
	d.Words = exemptWords(x)
	if len(x.Entries) == 0 {
		d.State = &State{"empty", "There is no [[exempt]] and no [[rule]].", "If mail that you want is rejected, open its message: postseal exempt REF prints the entry that accepts it."}
	}
	u.show(rw, r, http.StatusOK, "systemexempt", "Exemptions and rules", 0, d)
}

func exemptWords(x *Exemptions) string {
	ended, ending, idle := 0, 0, 0
	for i := range x.Entries {
		e := &x.Entries[i]
		switch {
		case e.Ended:
			ended++
		case e.Ending:
			ending++
		case e.Month == 0 && x.Counted == "":
			idle++
		}
	}
	var parts []string
	if ended > 0 {
		parts = append(parts, plural(ended, "entry has", "entries have")+" expired and no longer applies")
	}
	if ending > 0 {
		parts = append(parts, plural(ending, "entry ends", "entries end")+" within 14 days")
	}
	if idle > 0 {
		parts = append(parts, plural(idle, "entry was", "entries were")+" not used in 30 days")
	}
	switch {
	case len(x.Entries) == 0:
		return "Every domain's own policy decides: you have no exemptions and no rules."
	case len(parts) == 0:
		return plural(len(x.Entries), "exemption or rule is", "exemptions and rules are") + " in force, and each was used in the last 30 days."
	}
	return strings.ToUpper(parts[0][:1]) + strings.Join(parts, "; ")[1:] + "."
}

// ExemptLink finds the verdicts that an entry decided.
func (d *exemptData) ExemptLink(e ExemptEntry) string {
	text := e.Label
	if text == "" {
		text = fmt.Sprintf("rule %d", e.Index)
	}
	return searchLink("rule:"+quoted(text), "since:30d")
}

// WhatIfLink compares what is in force with the same without an entry.
func (d *exemptData) WhatIfLink(e ExemptEntry) string {
	return "/whatif?" + url.Values{"a": {"live"}, "b": {fmt.Sprintf("without-%s-%d", e.Table, e.Index)}, "since": {"30d"}}.Encode()
}
