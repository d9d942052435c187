package view

import (
	"postseal/internal/app/selftest"
	"postseal/internal/app/term"
)

// Attacks writes the results of the attacks of selftest, and how many were stopped.
func (p *Page) Attacks(results []selftest.Result, stopped int) error {
	if p.JSON() {
		return p.Object(struct {
			Schema  string            `json:"schema"`
			Total   int               `json:"total"`
			Stopped int               `json:"stopped"`
			Attacks []selftest.Result `json:"attacks"`
		}{"postseal.selftest/1", len(results), stopped, results})
	}
	for i := range results {
		if r := &results[i]; !r.Stopped || !p.Quiet {
			p.attack(r)
		}
	}
	p.line("%d of %d attacks stopped", stopped, len(results))
	return nil
}

// attack writes the row of one attack: what it does, what stopped it, and the result.
func (p *Page) attack(r *selftest.Result) {
	const name, layer, action = 34, 9, 11
	tone := term.Good
	if !r.Stopped {
		tone = term.Bad
	}
	end := r.Reason
	if end == "" {
		end = r.Reply
	}
	p.line(" %s %s %s %s %s", p.Style.Symbol(tone), term.Pad(r.Attack, name), p.Style.Paint(tone, term.Pad(string(r.Layer), layer)),
		term.Pad(r.Action, action), p.Style.Sanitize(end, term.Width-name-layer-action-6))
	p.line("%s", p.Style.Dim("   "+p.Style.Sanitize(r.Comment, term.Width-3)))
	for _, problem := range r.Problem {
		p.line("   %s", p.Style.Sanitize(problem, term.Width-3))
	}
}
