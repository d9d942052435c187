package view

import (
	"fmt"
	"strings"
	"time"

	"postseal/internal/app/fleet"
	"postseal/internal/app/term"
)

// configsJSON is what config history and config push write, schema postseal.shared-config/1.
type configsJSON struct {
	Schema  string       `json:"schema"`
	Number  int64        `json:"number"` // pushed, or in force
	Active  bool         `json:"active"`
	Configs []configJSON `json:"configs"`
	Hosts   []hostJSON   `json:"hosts"`
}

type configJSON struct {
	Number int64      `json:"number"`
	State  string     `json:"state"`
	Author string     `json:"author"`
	Note   string     `json:"note"`
	Made   time.Time  `json:"made"`
	Active *time.Time `json:"active"`
}

type hostJSON struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Running bool    `json:"running"`
	Own     bool    `json:"own"`    // uses its own configuration only
	Number  int64   `json:"number"` // in force, 0 for none
	Judged  int64   `json:"judged"` // the newest that it looked at
	Problem string  `json:"problem"`
	Ahead   float64 `json:"clock_ahead_seconds"` // of the database
}

func hosts(members []fleet.Member) []hostJSON {
	list := []hostJSON{}
	for i := range members {
		m := &members[i]
		list = append(list, hostJSON{Name: m.Name, Version: m.Version, Running: !m.Away, Own: m.Config == fleet.OwnConfig, Number: max(m.Config, 0), Judged: m.Judged, Problem: m.Judgement, Ahead: m.Skew.Seconds()})
	}
	return list
}

// Refused reports whether a host cannot use a configuration, or did not say.
func Refused(members []fleet.Member, n int64) bool {
	for i := range members {
		if m := &members[i]; m.Config != n && (m.Judged < n || m.Judgement != "") {
			return true
		}
	}
	return false
}

// SharedConfigs writes the history of the shared configuration.
func (p *Page) SharedConfigs(list []fleet.Config, members []fleet.Member) error {
	j := configsJSON{Schema: "postseal.shared-config/1", Configs: []configJSON{}, Hosts: hosts(members)}
	for i := range list {
		c := &list[i]
		row := configJSON{Number: c.N, State: c.State, Author: c.Author, Note: c.Note, Made: c.Made}
		if !c.Active.IsZero() {
			row.Active = &c.Active
		}
		if c.State == fleet.Active {
			j.Number, j.Active = c.N, true
		}
		j.Configs = append(j.Configs, row)
	}
	if p.JSON() {
		return p.Object(j)
	}
	if len(list) == 0 {
		p.line("no configuration is shared: postseal config push FILE")
	}
	for i := range list {
		c := &list[i]
		p.line("%6d  %-9s %s  %s", c.N, c.State, p.clean(c.Made.Format(historyTime)+"  "+c.Author), p.clean(c.Note))
	}
	p.hosts(j.Hosts, j.Number)
	return nil
}

// Pushed writes what the hosts say about a configuration that was pushed.
func (p *Page) Pushed(n int64, active bool, members []fleet.Member) error {
	j := configsJSON{Schema: "postseal.shared-config/1", Number: n, Active: active, Configs: []configJSON{}, Hosts: hosts(members)}
	if p.JSON() {
		return p.Object(j)
	}
	switch {
	case !active:
		p.line("%s", p.Style.Paint(term.Bad, fmt.Sprintf("configuration %d is not used: a host refuses it, so nothing changed", n)))
	case len(members) == 0:
		p.line("configuration %d is active, and no running host has [fleet] config = \"shared\"", n)
	default:
		p.line("configuration %d is active", n)
	}
	p.hosts(j.Hosts, n)
	return nil
}

// hosts writes a line for each host, and what it says against the configuration n.
func (p *Page) hosts(list []hostJSON, n int64) {
	for _, h := range list {
		tone, state := term.Good, fmt.Sprintf("uses %d", h.Number)
		switch {
		case !h.Running:
			tone, state = term.Muted, "not running"
		case h.Own:
			tone, state = term.Muted, "uses its own configuration"
		case h.Number != n && h.Problem != "":
			tone, state = term.Bad, fmt.Sprintf("uses %d, and refuses %d:", h.Number, h.Judged)
		case h.Number != n && h.Judged >= n:
			tone, state = term.Muted, fmt.Sprintf("uses %d, and can use %d", h.Number, h.Judged)
		case h.Number != n:
			tone, state = term.Warn, fmt.Sprintf("uses %d, and did not answer", h.Number)
		}
		p.line("  %s  %s", p.Style.Bold(p.clean(h.Name)), p.Style.Paint(tone, state)+p.Style.Paint(term.Warn, skewText(h.Ahead)))
		if h.Running && h.Problem != "" {
			for line := range strings.Lines(h.Problem) {
				p.line("      %s", p.clean(strings.TrimSpace(line)))
			}
		}
	}
}

// skewText warns about a clock that differs from that of the database by more than a minute.
func skewText(ahead float64) string {
	skew := time.Duration(ahead * float64(time.Second)).Round(time.Second)
	switch {
	case skew > time.Minute:
		return fmt.Sprintf("  its clock is %v fast", skew)
	case skew < -time.Minute:
		return fmt.Sprintf("  its clock is %v slow", -skew)
	}
	return ""
}
