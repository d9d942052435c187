package view

import (
	"fmt"
	"strings"
	"time"

	"postseal/internal/app/term"
	"postseal/server"
)

// Trial writes what the policy of [trial] would have done.
func (p *Page) Trial(r *server.TrialReport) error {
	if p.JSON() {
		return p.Object(r)
	}
	p.line("%s since %s: %s messages, %s would be handled differently", p.Style.Bold(p.clean("enforce="+r.Enforce+" discovery="+r.Discovery)),
		r.Since.Format(time.RFC3339), Count(r.Messages), Count(r.Changes))
	if len(r.Senders) == 0 || p.Quiet {
		return nil
	}
	const nameWidth = 50
	p.line("")
	p.line("%s", p.Style.Bold(fmt.Sprintf("%8s  %-*s%-12s%-12s%s", "messages", nameWidth-2, "sender", "was", "would be", "last")))
	for _, s := range r.Senders {
		name := p.Style.Sanitize(s.Sender, nameWidth/2-4) + p.Style.Text(" → ") + p.Style.Sanitize(s.Author, nameWidth/2-4)
		name += strings.Repeat(" ", max(0, nameWidth-2-term.Columns(name)))
		p.line("%8s  %s%-12s%-12s%s", Count(s.Messages), name, s.Live, s.Trial, p.clean(dashed(s.Ref)))
	}
	return nil
}
