package view

import (
	"bytes"
	"encoding/json"
	"io"

	"postseal/audit"
	"postseal/internal/app/auditview"
)

// AuditText returns a writer of audits for people. known are the findings of an earlier audit,
// exit is the exit code for one report alone.
func (p *Page) AuditText(known map[string]bool, exit func(*audit.Report) int) auditview.Writer {
	return &textSink{Page: p, known: known, exit: exit}
}

// AuditJSON returns a writer of audits as JSON: one object per domain, or with json and many
// domains one array.
func (p *Page) AuditJSON(many bool) auditview.Writer {
	if p.Format == "json" && many {
		return &arraySink{Page: p}
	}
	return &lineSink{p}
}

// AuditDiff returns a writer of the changes since old, the reports of an earlier audit by
// domain.
func (p *Page) AuditDiff(old map[string]*audit.Report) auditview.Writer {
	return &diffSink{Page: p, old: old}
}

// lineSink writes JSON: one object for one domain, or one per line.
type lineSink struct{ *Page }

// Report implements auditview.Writer.
func (s *lineSink) Report(r *audit.Report, _ auditview.Source) error {
	if err := s.Object(r); err != nil {
		return err
	}
	return s.flush()
}

// Close implements auditview.Writer.
func (s *lineSink) Close() error { return s.flush() }

// arraySink writes one JSON array.
type arraySink struct {
	*Page
	n int
}

// Report implements auditview.Writer.
func (s *arraySink) Report(r *audit.Report, _ auditview.Source) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("  ", "  ")
	if err := e.Encode(r); err != nil {
		return err
	}
	lead := ",\n  "
	if s.n == 0 {
		lead = "[\n  "
	}
	s.n++
	io.WriteString(s.W, lead)
	_, err := s.W.Write(bytes.TrimRight(b.Bytes(), "\n"))
	return err
}

// Close implements auditview.Writer.
func (s *arraySink) Close() error {
	if s.n == 0 {
		io.WriteString(s.W, "[")
	}
	io.WriteString(s.W, "\n]\n")
	return s.flush()
}

// textSink writes for people.
type textSink struct {
	*Page
	known map[string]bool // findings of the baseline
	exit  func(*audit.Report) int
	n     int
}

// Report implements auditview.Writer.
func (s *textSink) Report(r *audit.Report, _ auditview.Source) error {
	v := &auditView{Page: s.Page, report: r, known: s.known}
	v.show(s.n == 0, s.exit(r))
	s.n++
	return s.flush()
}

// Close implements auditview.Writer.
func (s *textSink) Close() error { return s.flush() }

// diffSink shows the changes since an earlier audit.
type diffSink struct {
	*Page
	old map[string]*audit.Report
}

type diffJSON struct {
	Schema  string         `json:"schema"`
	Domain  string         `json:"domain"`
	Known   bool           `json:"known"` // the earlier audit contains the domain
	Changes []audit.Change `json:"changes"`
}

// Report implements auditview.Writer.
func (s *diffSink) Report(r *audit.Report, _ auditview.Source) error {
	old := s.old[r.Domain]
	changes := []audit.Change{}
	if old != nil {
		changes = audit.Diff(old, r)
	}
	if s.JSON() {
		return s.Object(diffJSON{"postseal.audit-diff/1", r.Domain, old != nil, changes})
	}
	switch {
	case old == nil:
		s.line("%s   %s", s.Style.Bold(s.clean(r.Domain)), s.Style.Dim("not in the earlier audit"))
	case len(changes) == 0:
		s.line("%s   %s", s.Style.Bold(s.clean(r.Domain)), s.Style.Dim("nothing changed"))
	default:
		s.line("%s   %s", s.Style.Bold(s.clean(r.Domain)), Plural(len(changes), "change", "changes"))
	}
	for _, c := range changes {
		for i, l := range wrap(s.clean(c.Text), 88) {
			lead := "   "
			if i == 0 {
				lead = " " + s.Style.Symbol(0) + " "
			}
			s.line("%s%s", lead, l)
		}
	}
	return s.flush()
}

// Close implements auditview.Writer.
func (s *diffSink) Close() error { return s.flush() }
