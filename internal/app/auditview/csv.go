package auditview

import (
	"bufio"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"

	"postseal/audit"
)

// sheet has a line for each finding, and one for a domain without findings.
type sheet struct {
	b       *bufio.Writer
	w       *csv.Writer
	started bool
}

func newCSV(b *bufio.Writer) *sheet { return &sheet{b: b, w: csv.NewWriter(b)} }

// Report implements Writer.
func (s *sheet) Report(r *audit.Report, _ Source) error {
	if !s.started {
		s.started = true
		s.w.Write([]string{"domain", "grade", "profile", "id", "severity", "title", "detail", "fix", "rfc", "name", "offset", "publish"})
	}
	lead := []string{r.Domain, string(r.Grade), string(r.Profile)}
	if len(r.Findings) == 0 {
		s.row(append(lead, "", "", "", r.GradeReason, "", "", "", "", ""))
	}
	for _, f := range r.Findings {
		s.row(append(lead[:3:3], f.ID, string(f.Severity), f.Title, f.Detail, f.Fix+withheld(r, &f), f.RFC, f.Where.Name, strconv.Itoa(f.Where.Offset), f.Publish))
	}
	s.w.Flush()
	return s.w.Error()
}

// withheld says why there is no record to publish at the name of a finding.
func withheld(r *audit.Report, f *audit.Finding) string {
	i := slices.IndexFunc(r.NoRecord, func(n audit.NoRecord) bool { return n.Name == f.Where.Name })
	if i < 0 || f.Publish != "" {
		return ""
	}
	return " (no record to publish: " + r.NoRecord[i].Reason + ")"
}

// row prevents a spreadsheet from reading untrusted text as a formula.
func (s *sheet) row(cells []string) {
	for i, c := range cells {
		if c != "" && strings.IndexByte("=+-@\t\r", c[0]) >= 0 {
			cells[i] = "'" + c
		}
	}
	s.w.Write(cells)
}

// Close implements Writer.
func (s *sheet) Close() error {
	s.w.Flush()
	return s.b.Flush()
}
