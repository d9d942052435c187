package server

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/rules"
	"postseal/internal/app/whatif"
	"postseal/server/web/ui"
)

// exemption returns the entry that would accept a message of which evidence is kept, as postseal
// exempt prints it.
func (d *Daemon) exemption(ctx context.Context, ref string) (rules.Exempt, error) {
	kept, err := d.bundles.find(ctx, ref)
	if err != nil {
		return rules.Exempt{}, err
	}
	report, _, err := rerun(ctx, kept, func(*postseal.Config) {})
	if err != nil {
		return rules.Exempt{}, err
	}
	if report.Decision.Action == postseal.Accept {
		return rules.Exempt{}, badRequest("the message is accepted already: %s", report.Decision.Reason)
	}
	e, err := rules.Narrow(report, kept.Message != nil, d.history.now())
	if err == nil && !e.Accepts(report) {
		return e, badRequest("no exemption accepts this message")
	}
	if err != nil {
		return e, badRequest("%v", err)
	}
	return e, nil
}

// exempting is the policy in force with the exemption for a message.
func (w *whatIfs) exempting(ctx context.Context, name, ref string, c *conf.Config) (whatif.Policy, error) {
	e, err := w.d.exemption(ctx, ref)
	if err != nil {
		return whatif.Policy{}, err
	}
	p, err := whatif.With(name, c, e, w.d.history.now())
	if err != nil {
		return p, badRequest("%v", err)
	}
	return p, nil
}

// without is the policy in force without the entry "exempt-1" or "rule-1".
func (w *whatIfs) without(name, entry string, c *conf.Config) (whatif.Policy, error) {
	table, number, _ := strings.Cut(entry, "-")
	n, err := strconv.Atoi(number)
	exempts, all := slices.Clone(c.Exempt), slices.Clone(c.Rule)
	switch {
	case err == nil && table == "exempt" && 0 < n && n <= len(exempts):
		exempts = slices.Delete(exempts, n-1, n)
	case err == nil && table == "rule" && 0 < n && n <= len(all):
		all = slices.Delete(all, n-1, n)
	default:
		return whatif.Policy{}, badRequest("there is no entry %.40q: name one such as exempt-1 or rule-1", entry)
	}
	p, err := whatif.Edited(name, c, exempts, all, w.d.history.now())
	if err != nil {
		return p, badRequest("%v", err)
	}
	return p, nil
}

// Entry implements ui.Source.
func (c console) Entry(ctx context.Context, name string) ui.Entry {
	current := c.d.engine.Current().Config
	if ref, ok := strings.CutPrefix(name, exemptPrefix); ok {
		e, err := c.d.exemption(ctx, ref)
		if err != nil {
			return ui.Entry{}
		}
		return ui.Entry{Name: name, Text: "as it is, with this exemption", TOML: e.TOML()}
	}
	table, number, _ := strings.Cut(strings.TrimPrefix(name, withoutPrefix), "-")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 1:
	case table == "exempt" && n <= len(current.Exempt):
		return ui.Entry{Name: name, Text: "as it is, without this exemption", TOML: current.Exempt[n-1].TOML()}
	case table == "rule" && n <= len(current.Rule):
		return ui.Entry{Name: name, Text: "as it is, without this rule", TOML: current.Rule[n-1].TOML()}
	}
	return ui.Entry{}
}
