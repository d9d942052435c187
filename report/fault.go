package report

import (
	"fmt"
	"strings"
)

// Fault names what is wrong with a report or with what it came in. The set is closed.
type Fault string

// The faults. Those of the first group are warnings: the report is read. Those of the second
// group refuse it.
const (
	NotWellFormed  Fault = "not-well-formed" // XML or JSON is damaged; what came before is kept
	MissingElement Fault = "missing-element"
	BadEncoding    Fault = "bad-encoding" // octets that the declared charset does not have
	BadCharacter   Fault = "bad-character"
	TrailingData   Fault = "trailing-data"
	BadDate        Fault = "date-format"
	DateRange      Fault = "date-range" // the dates cannot be right
	LongRange      Fault = "long-range" // more than 48 hours
	BadCount       Fault = "count"
	BadSourceIP    Fault = "source-ip"
	BadValue       Fault = "value"
	NoRecords      Fault = "no-records"
	TooMany        Fault = "too-many" // rows, signatures or files over a limit were omitted
	WrongMediaType Fault = "media-type"

	NotAReport Fault = "not-a-report"
	TooLarge   Fault = "too-large"
	Nesting    Fault = "nesting"
	Encrypted  Fault = "encrypted"
	Doctype    Fault = "doctype" // a DTD is refused, never followed
	Damaged    Fault = "damaged" // the container cannot be opened
	TimedOut   Fault = "timeout"
)

// Warning says what was odd about a report that was read.
type Warning struct {
	Fault  Fault  `json:"fault"`
	Detail string `json:"detail"`          // a sentence
	Line   int    `json:"line,omitempty"`  // 1-based line of the XML, 0 if there is none
	Value  string `json:"value,omitempty"` // the text concerned, without control characters, cut to 255 characters
}

// String returns the warning as one line.
func (w Warning) String() string {
	var b strings.Builder
	if w.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", w.Line)
	}
	b.WriteString(w.Detail)
	if w.Value != "" {
		fmt.Fprintf(&b, ": %q", w.Value)
	}
	return b.String()
}

// Refusal is the error of a report that was not read. Nothing of it counts.
type Refusal struct {
	Source string // where it was found
	Fault  Fault
	Detail string
	Line   int // 0 if there is none
}

// Error implements error.
func (e *Refusal) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Source, e.Line, e.Detail)
	}
	return e.Source + ": " + e.Detail
}

// maxText is the number of characters that are kept of any text of a report.
const maxText = 255

// clean returns s without white space around it, with white space inside as single blanks,
// without control and invalid characters, and cut to maxText characters.
func clean(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	n := 0
	return strings.Map(func(r rune) rune {
		n++
		if n > maxText || r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
