// Package auditview writes audits for other programs and for browsers: CSV, Markdown, SARIF,
// JUnit and HTML. Each writer takes one report at a time and stores none.
package auditview

import (
	"bufio"
	"fmt"
	"io"

	"postseal/audit"
)

// Source is the line of a list that named a domain.
type Source struct {
	File string
	Line int
}

// Writer writes reports, one after another. Close ends the document; it does not close the
// underlying writer.
type Writer interface {
	Report(r *audit.Report, from Source) error
	Close() error
}

// Formats lists the formats that New supports.
func Formats() []string { return []string{"csv", "md", "sarif", "junit", "html"} }

// Options contains what some formats need to know about the run. The zero value has no baseline
// and fails findings of every severity except info.
type Options struct {
	Version string
	FailOn  string                                       // the lowest severity that fails, or never; default warn
	Known   func(r *audit.Report, f *audit.Finding) bool // whether the baseline contains a finding; nil without a baseline
	Files   []string                                     // the zone files of the run
	Many    bool                                         // html: an overview, with short sections for the domains
}

// known reports whether a finding is in the baseline.
func (o *Options) known(r *audit.Report, f *audit.Finding) bool {
	return o.Known != nil && o.Known(r, f)
}

// fails reports whether a finding counts for the exit code.
func (o *Options) fails(r *audit.Report, f *audit.Finding) bool {
	mildest := audit.Severity(orWord(o.FailOn, string(audit.Warn)))
	return mildest != "never" && f.Severity.Rank() >= mildest.Rank() && !o.known(r, f)
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// New returns a writer of one format.
func New(format string, w io.Writer, o Options) (Writer, error) {
	b := bufio.NewWriter(w)
	switch format {
	case "csv":
		return newCSV(b), nil
	case "md":
		return &markdown{w: b}, nil
	case "sarif":
		return newSARIF(b, o)
	case "junit":
		return &junit{w: b, options: o}, nil
	case "html":
		return &page{w: b, many: o.Many}, nil
	}
	return nil, fmt.Errorf("no such format: %q", format)
}

func orDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}
