package view

import (
	"fmt"
	"strings"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/term"
)

type replayJSON struct {
	Schema      string           `json:"schema"`
	File        string           `json:"file"`
	Holds       bool             `json:"holds"`
	Differences []string         `json:"differences"`
	Missing     []string         `json:"missing"`
	Verdict     *postseal.Report `json:"verdict"`
}

func listOf(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// Replayed is a bundle that was evaluated again.
type Replayed struct {
	File        string
	Bundle      *bundle.Bundle
	Report      *postseal.Report
	Differences []string // differences from what the bundle expects
	Missing     []string // queries that the bundle does not answer
}

// Replayed writes whether the verdict of a bundle is still the same.
func (p *Page) Replayed(r *Replayed) error {
	if p.JSON() {
		return p.Object(replayJSON{"postseal.replay-bundle/1", r.File, len(r.Differences) == 0, listOf(r.Differences), listOf(r.Missing), r.Report})
	}
	tone, word := term.Good, "holds"
	switch {
	case len(r.Missing) > 0:
		tone, word = term.Warn, "cannot be re-evaluated"
	case len(r.Differences) > 0:
		tone, word = term.Bad, "differs"
	}
	p.line(" %s %s  %s", p.Style.Symbol(tone), p.Style.Paint(tone, word), p.Style.Sanitize(r.File, 70))
	for _, m := range r.Missing {
		p.line("   %s", p.clean("the bundle has no answer to "+m))
	}
	for _, d := range r.Differences {
		p.line("   %s", p.clean(d))
	}
	if r.Bundle.Local {
		p.line("   %s", p.clean("local rules took part in the decision; a bundle does not contain them"))
	}
	if p.Verbose {
		p.line("   %s", p.clean(fmt.Sprintf("%s, ref %s: %s", r.Report.Decision.Applied, dashed(r.Report.Ref), strings.Join(r.Bundle.Expect, " "))))
	}
	return nil
}
