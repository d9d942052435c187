package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"

	"postseal/audit"
	"postseal/internal/app/auditview"
)

// auditSink takes reports in the order of the list.
type auditSink interface {
	Report(r *audit.Report, from auditview.Source) error
	Close() error
}

func (a *app) auditSink(f *auditFlags, many bool) (auditSink, error) {
	known, err := baseline(f.baseline)
	if err != nil {
		return nil, err
	}
	s := &codeSink{app: a, failOn: f.failOn, known: known}
	switch {
	case f.diff != "":
		old, err := readReports(f.diff)
		if err != nil {
			return nil, err
		}
		if a.flags.format != "text" && a.flags.format != "json" && a.flags.format != "jsonl" {
			return nil, usage("--diff knows the formats text, json and jsonl only")
		}
		s.next = &diffSink{app: a, old: old}
	case a.flags.format == "text":
		s.next = &textSink{app: a, failOn: f.failOn, known: known}
	case a.flags.format == "json" && many:
		s.next = &arraySink{app: a}
	case a.flags.format == "json" || a.flags.format == "jsonl":
		s.next = &lineSink{app: a}
	default:
		version, _ := buildVersion()
		if s.next, err = auditview.New(a.flags.format, a.out, version); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// codeSink turns findings into the exit code.
type codeSink struct {
	*app
	failOn string
	known  map[string]bool
	next   auditSink
}

// Report implements auditSink.
func (s *codeSink) Report(r *audit.Report, from auditview.Source) error {
	s.raise(auditCode(r, s.failOn, s.known))
	return s.next.Report(r, from)
}

// Close implements auditSink.
func (s *codeSink) Close() error { return s.next.Close() }

// auditCode is the exit code for one report. Findings of the baseline do not count.
func auditCode(r *audit.Report, failOn string, known map[string]bool) int {
	code := exitOK
	if r.Grade == "" {
		code = exitUndecided
	}
	if failOn == "never" {
		return code
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Severity.Rank() >= audit.Severity(failOn).Rank() && !known[r.Domain+" "+f.Key()] {
			return exitNo
		}
	}
	return code
}

// lineSink writes JSON, one object for one domain or one a line.
type lineSink struct{ *app }

// Report implements auditSink.
func (s *lineSink) Report(r *audit.Report, _ auditview.Source) error {
	if err := s.json(r); err != nil {
		return err
	}
	return s.out.Flush()
}

// Close implements auditSink.
func (s *lineSink) Close() error { return s.out.Flush() }

// arraySink writes one JSON array.
type arraySink struct {
	*app
	n int
}

// Report implements auditSink.
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
	s.out.WriteString(lead)
	_, err := s.out.Write(bytes.TrimRight(b.Bytes(), "\n"))
	return err
}

// Close implements auditSink.
func (s *arraySink) Close() error {
	if s.n == 0 {
		s.out.WriteByte('[')
	}
	s.out.WriteString("\n]\n")
	return s.out.Flush()
}

// textSink writes for people.
type textSink struct {
	*app
	failOn string
	known  map[string]bool
	n      int
}

// Report implements auditSink.
func (s *textSink) Report(r *audit.Report, _ auditview.Source) error {
	v := &auditView{view: &view{app: s.app, style: s.style}, report: r, known: s.known}
	v.show(s.n, auditCode(r, s.failOn, s.known))
	s.n++
	return s.out.Flush()
}

// Close implements auditSink.
func (s *textSink) Close() error { return s.out.Flush() }

// diffSink says what changed since an earlier audit.
type diffSink struct {
	*app
	old map[string]*audit.Report
}

type diffJSON struct {
	Schema  string         `json:"schema"`
	Domain  string         `json:"domain"`
	Known   bool           `json:"known"` // the earlier audit has the domain
	Changes []audit.Change `json:"changes"`
}

// Report implements auditSink.
func (s *diffSink) Report(r *audit.Report, _ auditview.Source) error {
	old := s.old[r.Domain]
	changes := []audit.Change{}
	if old != nil {
		changes = audit.Diff(old, r)
	}
	if s.wantJSON() {
		return s.json(diffJSON{"postseal.audit-diff/1", r.Domain, old != nil, changes})
	}
	v := &view{app: s.app, style: s.style}
	switch {
	case old == nil:
		v.line("%s   %s", v.style.Bold(v.clean(r.Domain)), v.style.Dim("not in the earlier audit"))
	case len(changes) == 0:
		v.line("%s   %s", v.style.Bold(v.clean(r.Domain)), v.style.Dim("nothing changed"))
	default:
		v.line("%s   %s", v.style.Bold(v.clean(r.Domain)), plural(len(changes), "change", "changes"))
	}
	for _, c := range changes {
		for i, l := range wrap(v.clean(c.Text), 88) {
			lead := "   "
			if i == 0 {
				lead = " " + v.style.Symbol(0) + " "
			}
			v.line("%s%s", lead, l)
		}
	}
	return s.out.Flush()
}

// Close implements auditSink.
func (s *diffSink) Close() error { return s.out.Flush() }

// baseline reads the findings that are known already.
func baseline(path string) (map[string]bool, error) {
	if path == "" {
		return nil, nil
	}
	reports, err := readReports(path)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for name, r := range reports {
		for i := range r.Findings {
			known[name+" "+r.Findings[i].Key()] = true
		}
	}
	return known, nil
}

// readReports reads the JSON of earlier audits: one object, an array, or one a line.
func readReports(path string) (map[string]*audit.Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, openFailure(path, err)
	}
	defer file.Close()
	r := bufio.NewReader(file)
	d := json.NewDecoder(r)
	if first, err := r.Peek(1); err == nil && first[0] == '[' {
		if _, err := d.Token(); err != nil {
			return nil, failf(exitData, "%s: %v", path, err)
		}
	}
	reports := map[string]*audit.Report{}
	for d.More() {
		var report audit.Report
		if err := d.Decode(&report); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, failf(exitData, "%s: is no JSON of an audit: %v", path, err)
		}
		if report.Schema != audit.Schema {
			return nil, failf(exitData, "%s: is no JSON of an audit", path).or("postseal audit --format json writes it")
		}
		reports[report.Domain] = &report
	}
	return reports, nil
}
