package view

import (
	"strings"

	"postseal/internal/app/doctor"
	"postseal/internal/app/term"
)

// Doctor writes the findings of doctor.
func (p *Page) Doctor(findings []doctor.Finding) error {
	if p.JSON() {
		return p.Object(struct {
			Schema string           `json:"schema"`
			Checks []doctor.Finding `json:"checks"`
		}{"postseal.doctor/1", findings})
	}
	for i := range findings {
		p.doctorFinding(&findings[i])
	}
	return nil
}

var findingTones = map[doctor.Level]term.Tone{doctor.OK: term.Good, doctor.Warn: term.Warn, doctor.Fail: term.Bad, doctor.Down: term.Bad, doctor.Skip: term.Muted}

func (p *Page) doctorFinding(f *doctor.Finding) {
	tone := findingTones[f.Level]
	if p.Quiet && (f.Level == doctor.OK || f.Level == doctor.Skip) {
		return
	}
	sign := p.Style.Symbol(tone)
	for text := range strings.SplitSeq(f.Text, "\n") {
		for _, line := range fit(p.clean(strings.TrimRight(text, "\r")), term.Width-3) {
			p.line(" %s %s", sign, line)
			sign = " "
		}
	}
	if f.Hint != "" {
		sign := "→ "
		for _, line := range fit(p.clean(f.Hint), term.Width-5) {
			p.line("   %s", p.Style.Dim(p.Style.Text(sign)+line))
			sign = "  "
		}
	}
}
