package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"

	"postseal/audit"
	"postseal/internal/app/auditview"
)

func (a auditCommand) auditSink(f *auditFlags, many bool) (auditview.Writer, error) {
	known, err := baseline(f.baseline)
	if err != nil {
		return nil, err
	}
	s := &codeSink{app: a.app, failOn: f.failOn, known: known}
	switch {
	case f.diff != "":
		old, err := readReports(f.diff)
		if err != nil {
			return nil, err
		}
		if a.flags.format != "text" && a.flags.format != "json" && a.flags.format != "jsonl" {
			return nil, usage("--diff supports only the formats text, json and jsonl")
		}
		s.next = a.page().AuditDiff(old)
	case a.flags.format == "text":
		s.next = a.page().AuditText(known, func(r *audit.Report) int { return auditCode(r, f.failOn, known) })
	case a.flags.format == "json" || a.flags.format == "jsonl":
		s.next = a.page().AuditJSON(many)
	default:
		o := auditview.Options{FailOn: f.failOn, Files: a.flags.zones, Many: many}
		o.Version, _ = buildVersion()
		if known != nil {
			o.Known = func(r *audit.Report, f *audit.Finding) bool { return known[r.Domain+" "+f.Key()] }
		}
		if s.next, err = auditview.New(a.flags.format, a.out, o); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// codeSink converts findings to the exit code.
type codeSink struct {
	*app
	failOn string
	known  map[string]bool
	next   auditview.Writer
}

// Report implements auditview.Writer.
func (s *codeSink) Report(r *audit.Report, from auditview.Source) error {
	s.setExit(auditCode(r, s.failOn, s.known))
	return s.next.Report(r, from)
}

// Close implements auditview.Writer.
func (s *codeSink) Close() error { return s.next.Close() }

// auditCode returns the exit code for one report. Findings in the baseline do not count.
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

// baseline reads the known findings.
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

// readReports reads the JSON of earlier audits: one object, an array, or one object per line.
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
			return nil, failf(exitData, "%s: not the JSON of an audit: %v", path, err)
		}
		if report.Schema != audit.Schema {
			return nil, failf(exitData, "%s: not the JSON of an audit", path).or("postseal audit --format json writes it")
		}
		reports[report.Domain] = &report
	}
	return reports, nil
}
