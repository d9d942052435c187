// Package lint defines the problems that spf.Lint, dkim.Lint and dmarc.Lint find in the text of a record.
package lint

// Severity says how bad a Problem is.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	Error    Severity = "error"
	Warning  Severity = "warn"
	Info     Severity = "info"
)

// Problem is something wrong in the text of a record.
type Problem struct {
	ID       string   `json:"id"` // stable
	Severity Severity `json:"severity"`
	Offset   int      `json:"offset"` // in the text
	Message  string   `json:"message"`
	Fix      string   `json:"fix"`
	RFC      string   `json:"rfc"`
}
