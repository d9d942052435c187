// Package auditview writes audits for other programs and for browsers: csv, Markdown,
// SARIF, JUnit and one html page. Each writer takes one report at a time and keeps none.
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

// Writer writes reports, one after the other. Close ends the document; it does not close
// what lies below.
type Writer interface {
	Report(r *audit.Report, from Source) error
	Close() error
}

// Formats are those that New knows.
func Formats() []string { return []string{"csv", "md", "sarif", "junit", "html"} }

// New returns a writer of one format.
func New(format string, w io.Writer, version string) (Writer, error) {
	b := bufio.NewWriter(w)
	switch format {
	case "csv":
		return newCSV(b), nil
	case "md":
		return &markdown{w: b}, nil
	case "sarif":
		return newSARIF(b, version)
	case "junit":
		return &junit{w: b}, nil
	case "html":
		return &page{w: b}, nil
	}
	return nil, fmt.Errorf("no such format: %q", format)
}

func orDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}
