package auditview

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"postseal/audit"
)

// log writes SARIF 2.1.0: the frame is made once, and cut where the results stand.
type log struct {
	w      *bufio.Writer
	after  []byte
	n      int
	number map[string]int
}

// home is where the rules are explained.
const home = "https://pkg.go.dev/postseal"

func newSARIF(w *bufio.Writer, version string) (*log, error) {
	run := sarif.NewRunWithInformationURI("postseal", home)
	if version != "" {
		run.Tool.Driver.WithVersion(version)
	}
	l := &log{w: w, number: map[string]int{}}
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
	// A scanner of code wants a file. Without a list the record itself is the artifact.
	place := sarif.NewPhysicalLocation()
	if from.File != "" {
		place.WithArtifactLocation(sarif.NewSimpleArtifactLocation(from.File)).WithRegion(sarif.NewSimpleRegion(max(from.Line, 1), max(from.Line, 1)))
	} else {
		place.WithArtifactLocation(sarif.NewSimpleArtifactLocation("dns:" + f.Where.Name))
	}
	logical := sarif.NewLogicalLocation().WithFullyQualifiedName(f.Where.Name).WithKind("member")
	res.AddLocation(sarif.NewLocationWithPhysicalLocation(place).WithLogicalLocations([]*sarif.LogicalLocation{logical}))
	sum := sha256.Sum256([]byte(f.ID + "\x00" + r.Domain + "\x00" + f.Where.Name))
	res.WithPartialFingerprints(map[string]string{"postsealFinding/v1": fmt.Sprintf("%x", sum[:16])})
	return res
}

// Close implements Writer.
func (l *log) Close() error {
	l.w.Write(l.after)
	l.w.WriteByte('\n')
	return l.w.Flush()
}
