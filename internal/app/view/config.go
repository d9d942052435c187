package view

import (
	"strings"

	"postseal/internal/app/conf"
)

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Text    string `json:"text"`
	Warning bool   `json:"warning"`
}

type configCheckJSON struct {
	Schema   string        `json:"schema"`
	Valid    bool          `json:"valid"`
	Problems []problemJSON `json:"problems"`
}

// ConfigCheck writes the problems of the configuration file at path. If text, its content, is
// given, each problem shows its line.
func (p *Page) ConfigCheck(path string, problems []conf.Problem, valid bool, text []byte) error {
	if p.JSON() {
		out := configCheckJSON{Schema: "postseal.config-check/1", Valid: valid, Problems: []problemJSON{}}
		for _, problem := range problems {
			out.Problems = append(out.Problems, problemJSON(problem))
		}
		return p.Object(out)
	}
	var lines []string
	if text != nil {
		lines = strings.Split(string(text), "\n")
	}
	for _, problem := range problems {
		p.line("%s", p.Style.Sanitize(problem.String(), 0))
		if problem.Line >= 1 && problem.Line <= len(lines) {
			excerpt, column := p.excerpt(strings.ReplaceAll(lines[problem.Line-1], "\t", " "), problem.Column-1, 3)
			p.line("   %s", p.Style.Dim(excerpt))
			p.line("   %*s%s", column, "", p.Style.Red("^"))
		}
	}
	if valid && !p.Quiet {
		p.line("%s: ok", p.Style.Sanitize(path, 0))
	}
	return nil
}
