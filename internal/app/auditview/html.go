package auditview

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"postseal/audit"
	"postseal/internal/app/term"
)

//go:embed page.tmpl
var pageText string

var pages = template.Must(template.New("page").Funcs(template.FuncMap{
	"word": orDash[audit.Grade], "rule": ruleOf, "parts": parts, "counts": counts, "lookup": lookupWord, "order": order, "worst": worst, "notes": notes, "commas": term.Commas,
	"profile": func(p audit.Profile) string { return profiles[p] }, "ms": func(n int64) string { return strconv.FormatInt(n/1000, 10) },
}).Parse(pageText))

var profiles = map[audit.Profile]string{audit.Both: "sends and receives mail", audit.Sending: "sends mail", audit.Receiving: "receives mail",
	audit.Parked: "is parked: no mail", audit.Unknown: "does with mail what could not be found out"}

// page is one HTML file that loads nothing else.
type page struct {
	w       *bufio.Writer
	many    bool
	started bool
	n       int
}

// Report implements Writer.
func (p *page) Report(r *audit.Report, _ Source) error {
	if err := p.begin(); err != nil {
		return err
	}
	p.n++
	name := "domain"
	if p.many {
		name = "short"
	}
	if err := pages.ExecuteTemplate(p.w, name, r); err != nil {
		return err
	}
	return p.w.Flush()
}

func (p *page) begin() error {
	if p.started {
		return nil
	}
	p.started = true
	if err := pages.ExecuteTemplate(p.w, "begin", nil); err != nil || !p.many {
		return err
	}
	return pages.ExecuteTemplate(p.w, "overview", nil)
}

// Close implements Writer.
func (p *page) Close() error {
	if err := p.begin(); err != nil {
		return err
	}
	if p.many {
		if err := pages.ExecuteTemplate(p.w, "close", nil); err != nil {
			return err
		}
	}
	if err := pages.ExecuteTemplate(p.w, "end", p.n); err != nil {
		return err
	}
	return p.w.Flush()
}

func ruleOf(id string) audit.Rule {
	r, _ := audit.RuleOf(id)
	return r
}

// split is a record, split at the position of a finding.
type split struct{ Before, At, After string }

// parts splits the record of a finding, to highlight the word at its offset.
func parts(w audit.Where) *split {
	if w.Record == "" {
		return nil
	}
	offset := min(w.Offset, len(w.Record))
	rest := w.Record[offset:]
	end := strings.IndexAny(rest, " ;\n")
	if end <= 0 {
		end = len(rest)
	}
	return &split{w.Record[:offset], rest[:end], rest[end:]}
}

// order is the position of a domain in the overview by grade, by findings and by name, the
// worst first. CSS sorts by these, so the page needs no script.
func order(r *audit.Report) template.CSS {
	weight := map[audit.Severity]int{audit.Critical: 1000, audit.Error: 100, audit.Warn: 10, audit.Info: 1}
	sum := 0
	for _, f := range r.Findings {
		sum += weight[f.Severity]
	}
	name := 0
	for i := range 5 {
		c := 0
		if i < len(r.Domain) {
			c = max(strings.IndexByte("-.0123456789abcdefghijklmnopqrstuvwxyz_", r.Domain[i]), 0) + 1
		}
		name = name*40 + c
	}
	return template.CSS(fmt.Sprintf("--g:%d;--f:%d;--n:%d", 1+strings.Index("FDCBA", orWord(string(r.Grade), "F")), -min(sum, 1<<20), name))
}

// worst returns the findings that the short form shows.
func worst(r *audit.Report) []audit.Finding {
	const most = 20
	var list []audit.Finding
	for _, f := range r.Findings {
		if f.Severity != audit.Info && len(list) < most {
			list = append(list, f)
		}
	}
	return list
}

// notes returns the ids of the findings that are only informational.
func notes(r *audit.Report) string {
	var list []string
	for _, f := range r.Findings {
		if f.Severity == audit.Info && !slices.Contains(list, f.ID) {
			list = append(list, f.ID)
		}
	}
	return strings.Join(list, " ")
}

func counts(r *audit.Report) string {
	n := map[audit.Severity]int{}
	for _, f := range r.Findings {
		n[f.Severity]++
	}
	var words []string
	for _, s := range []audit.Severity{audit.Critical, audit.Error, audit.Warn, audit.Info} {
		if n[s] > 0 {
			words = append(words, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	if len(words) == 0 {
		return "no findings"
	}
	return strings.Join(words, ", ")
}

func lookupWord(t audit.SPFTerm) string {
	switch {
	case t.Lookup == 0:
		return ""
	case t.Child != nil && t.Child.Lookups > 0:
		return fmt.Sprintf("1 + %d", t.Child.Lookups)
	}
	return "1"
}
