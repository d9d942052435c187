package view

import (
	"postseal/audit"
	"postseal/internal/app/term"
)

type ruleJSON struct {
	ID       string         `json:"id"`
	Severity audit.Severity `json:"severity"`
	Title    string         `json:"title"`
	RFC      string         `json:"rfc"`
	Why      string         `json:"why"`
	Fix      string         `json:"fix"`
}

// Rules writes audit rules: one in full, several as a list.
func (p *Page) Rules(list []audit.Rule) error {
	if p.JSON() {
		out := make([]ruleJSON, 0, len(list))
		for _, r := range list {
			out = append(out, ruleJSON{r.ID, r.Severity, r.Title, r.RFC, r.Why, r.Fix})
		}
		return p.Object(map[string]any{"schema": "postseal.rules/1", "rules": out})
	}
	if len(list) == 1 {
		p.explainRule(&list[0])
		return nil
	}
	for i := range list {
		r := &list[i]
		p.line(" %s %s %s", p.Style.Symbol(severityTones[r.Severity]), term.Pad(p.Style.Bold(r.ID), 26), p.clean(r.Title))
	}
	return nil
}

func (p *Page) explainRule(r *audit.Rule) {
	p.line(" %s %s  %s", p.Style.Symbol(severityTones[r.Severity]), p.Style.Bold(r.ID), p.clean(r.Title))
	for _, row := range [][2]string{{"severity", string(r.Severity)}, {"best grade", string(r.BestGrade())}, {"source", p.Style.Text(r.Cite())}, {"why", r.Why}, {"fix", r.Fix}} {
		for i, l := range wrap(p.clean(row[1]), term.Width-14) {
			label := row[0]
			if i > 0 {
				label = ""
			}
			p.line("   %s %s", p.Style.Dim(term.Pad(label, 10)), l)
		}
	}
}
