package view

import (
	"fmt"
	"strings"

	"postseal/internal/app/term"
	"postseal/internal/app/whatif"
)

// WhatIf writes whose mail another policy would have handled differently.
func (p *Page) WhatIf(r *whatif.Report) error {
	if p.JSON() {
		return p.Object(r)
	}
	p.line("%s", p.Style.Bold(p.clean(fmt.Sprintf("%s of %s messages would have ended in another way: %s instead of %s", Count(r.Changed), Count(r.Messages), r.B, r.A))))
	for _, note := range whatIfNotes(r) {
		p.line("%s", note)
	}
	for _, w := range r.Ways {
		p.line("%8s  %s → %s", Count(w.N), w.From, w.To)
	}
	if len(r.Changes) == 0 || p.Quiet {
		return nil
	}
	const nameWidth = 50
	p.line("")
	p.line("%s", p.Style.Bold(fmt.Sprintf("%8s  %-*s%-12s%-12s%-12s%s", "messages", nameWidth-2, "sender", "from", "to", "looks", "reference")))
	for i := range r.Changes {
		c := &r.Changes[i]
		name := p.Style.Sanitize(c.Sender, nameWidth/2-4) + p.Style.Text(" → ") + p.Style.Sanitize(c.Author, nameWidth/2-4)
		name += strings.Repeat(" ", max(0, nameWidth-2-term.Columns(name)))
		ref := ""
		if len(c.Refs) > 0 {
			ref = dashed(c.Refs[0])
		}
		p.line("%8s  %s%-12s%-12s%-12s%s", Count(c.N), name, c.From, c.To, c.Looks, p.clean(ref))
	}
	return nil
}

// whatIfNotes say what the figures do not include.
func whatIfNotes(r *whatif.Report) (notes []string) {
	if !r.Accepted {
		notes = append(notes, "Accepted mail is not in the evidence ([bundles] keep = \"refused\"), so only less strict outcomes are seen for certain.")
	}
	if r.Undecided > 0 {
		notes = append(notes, Count(r.Undecided)+" messages are undecided: their evidence lacks a DNS answer that a policy needs.")
	}
	if r.Broken > 0 {
		notes = append(notes, Count(r.Broken)+" bundles could not be read.")
	}
	notes = append(notes, r.HostNotes(Count)...)
	if r.More {
		notes = append(notes, "Only the newest "+Count(whatif.MaxMessages)+" messages of the period "+map[bool]string{true: "on each host "}[len(r.Hosts) > 1]+"were looked at.")
	}
	return notes
}
