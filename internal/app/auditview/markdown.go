package auditview

import (
	"bufio"
	"fmt"
	"strings"

	"postseal/audit"
)

// markdown has a section for each domain.
type markdown struct {
	w *bufio.Writer
	n int
}

// Report implements Writer.
func (m *markdown) Report(r *audit.Report, _ Source) error {
	if m.n > 0 {
		m.w.WriteByte('\n')
	}
	m.n++
	fmt.Fprintf(m.w, "## %s: %s\n\n%s\n\n", escape(r.Domain), gradeWord(r.Grade), escape(r.GradeReason))
	if len(r.Findings) > 0 {
		m.w.WriteString("| severity | rule | what | fix | source |\n|---|---|---|---|---|\n")
	}
	for _, f := range r.Findings {
		rule, _ := audit.RuleOf(f.ID)
		fmt.Fprintf(m.w, "| %s | `%s` | **%s.** %s | %s | %s |\n", f.Severity, f.ID, escape(f.Title), escape(f.Detail), escape(f.Fix), rule.Cite())
	}
	for _, p := range r.Publish {
		fmt.Fprintf(m.w, "\nPublish at %s (%s), which fixes %s:\n\n    %s\n", escape(p.Name), p.Type, strings.Join(p.Mends, ", "), p.Value)
	}
	for _, n := range r.NoRecord {
		fmt.Fprintf(m.w, "\nNo record to publish at %s: %s\n", escape(n.Name), escape(n.Reason))
	}
	for _, u := range r.Unchecked {
		if u.Grave {
			fmt.Fprintf(m.w, "\nCould not check %s: %s at %s.\n", escape(u.Check), u.Kind, escape(u.Name))
		}
	}
	return m.w.Flush()
}

// Close implements Writer.
func (m *markdown) Close() error { return m.w.Flush() }

func gradeWord(g audit.Grade) string {
	if g == "" {
		return "no grade"
	}
	return "grade " + string(g)
}

// escape makes untrusted text appear as plain words.
func escape(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < 0x20 || c == 0x7f:
			b.WriteByte(' ')
		case strings.ContainsRune("\\`*_{}[]<>#|!~&$", c):
			b.WriteByte('\\')
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
