package auditview

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"postseal/audit"
)

// log writes SARIF 2.1.0: the frame is made once, and cut where the results stand.
type log struct {
	w      *bufio.Writer
	after  []byte
	n      int
	number map[string]int

	options Options
}

// home is where the rules are explained.
const home = "https://pkg.go.dev/postseal"

func newSARIF(w *bufio.Writer, o Options) (*log, error) {
	run := sarif.NewRunWithInformationURI("postseal", home)
	if o.Version != "" {
		run.Tool.Driver.WithVersion(o.Version)
	}
	l := &log{w: w, options: o, number: map[string]int{}}
	for i, r := range audit.Rules() {
		l.number[r.ID] = i
		run.AddRule(r.ID).WithShortDescription(text(r.Title)).WithFullDescription(text(r.Why)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(r.Fix + " Source: " + r.Cite() + ".")).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(level(r.Severity)))
	}
	report := sarif.NewReport()
	report.AddRun(run)
	frame, err := json.Marshal(report)
	if err != nil {
		return nil, err
	}
	const mark = `"results":[`
	i := bytes.LastIndex(frame, []byte(mark))
	if i < 0 {
		return nil, errors.New("the frame of the log has no place for results")
	}
	w.Write(frame[:i+len(mark)])
	l.after = frame[i+len(mark):]
	return l, nil
}

func text(s string) *sarif.MultiformatMessageString {
	return sarif.NewMultiformatMessageString().WithText(s)
}

// level is the severity in the words of SARIF §3.27.10.
func level(s audit.Severity) string {
	switch s {
	case audit.Critical, audit.Error:
		return "error"
	case audit.Warn:
		return "warning"
	}
	return "note"
}

// Report implements Writer.
func (l *log) Report(r *audit.Report, from Source) error {
	for i := range r.Findings {
		f := &r.Findings[i]
		data, err := json.Marshal(l.result(r, f, from))
		if err != nil {
			return err
		}
		if l.n > 0 {
			l.w.WriteByte(',')
		}
		l.w.WriteByte('\n')
		l.n++
		l.w.Write(data)
	}
	return l.w.Flush()
}

func (l *log) result(r *audit.Report, f *audit.Finding, from Source) *sarif.Result {
	message := r.Domain + ": " + f.Title + ". " + f.Detail + ". Fix: " + f.Fix
	if f.Publish != "" {
		message += ". Publish: " + f.Publish
	}
	res := sarif.NewRuleResult(f.ID).WithLevel(level(f.Severity)).WithMessage(sarif.NewTextMessage(message))
	if i, ok := l.number[f.ID]; ok {
		res.WithRuleIndex(i)
	}
	if l.options.Known != nil {
		res.WithBaselineState(map[bool]string{true: "unchanged", false: "new"}[l.options.known(r, f)])
	}
	// Code hosts accept only paths relative to the repository: that of the zone file or of the
	// list. Without either the path is made of the name.
	place := sarif.NewPhysicalLocation()
	file, line := l.place(f, from)
	place.WithArtifactLocation(sarif.NewSimpleArtifactLocation(file)).WithRegion(sarif.NewSimpleRegion(line, line))
	logical := sarif.NewLogicalLocation().WithFullyQualifiedName(f.Where.Name).WithKind("member")
	res.AddLocation(sarif.NewLocationWithPhysicalLocation(place).WithLogicalLocations([]*sarif.LogicalLocation{logical}))
	sum := sha256.Sum256([]byte(f.ID + "\x00" + r.Domain + "\x00" + f.Where.Name))
	res.WithPartialFingerprints(map[string]string{"postsealFinding/v1": fmt.Sprintf("%x", sum[:16])})
	return res
}

// place is the file and the line of a finding.
func (l *log) place(f *audit.Finding, from Source) (file string, line int) {
	if len(l.options.Files) > 0 {
		file, line := lineOf(l.options.Files, f.Where)
		return relative(file), line
	}
	if from.File != "" {
		return relative(from.File), max(from.Line, 1)
	}
	return "dns/" + url.PathEscape(f.Where.Name), 1
}

// relative is a path as a URI reference: with slashes, and without what would make it one of
// another host.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(wd, path); err == nil {
			path = rel
		}
	}
	return (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).String()
}

// lineOf finds the record of a finding in the zone files, else the first line of the name; the
// first line of the first file if there is neither.
func lineOf(files []string, at audit.Where) (file string, line int) {
	label, _, _ := strings.Cut(at.Name, ".")
	text, _, _ := strings.Cut(at.Record, "\"")
	file, line = files[0], 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for n, l := range strings.Split(string(data), "\n") {
			if at.Record != "" && strings.Contains(l, text[:min(len(text), 40)]) {
				return path, n + 1
			}
			if line == 0 && (strings.HasPrefix(l, label+" ") || strings.HasPrefix(l, at.Name+".")) {
				file, line = path, n+1
			}
		}
	}
	return file, max(line, 1)
}

// Close implements Writer.
func (l *log) Close() error {
	l.w.Write(l.after)
	l.w.WriteByte('\n')
	return l.w.Flush()
}
