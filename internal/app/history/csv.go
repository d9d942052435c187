package history

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

func jsonText(s string) ([]byte, error) { return json.Marshal(s) }

// CSVColumns are the columns of CSV.
var CSVColumns = []string{"at", "ref", "qid", "applied", "action", "reason", "author", "mailfrom", "client", "helo", "list", "spf", "spf_domain", "dkim", "arc", "dmarc",
	"policy", "policy_domain", "override", "why", "text", "door", "bytes", "ms", "n"}

// CSV writes verdicts in CSV (RFC 4180), with a line of column names first. A value that a
// spreadsheet would read as a formula starts with an apostrophe.
type CSV struct{ w *csv.Writer }

// NewCSV writes the line of column names.
func NewCSV(w io.Writer) (*CSV, error) {
	c := &CSV{csv.NewWriter(w)}
	return c, c.w.Write(CSVColumns)
}

// Write writes one verdict.
func (c *CSV) Write(v *Verdict) error {
	fields := []string{v.At.Format(time.RFC3339), v.Ref, v.QID, v.Applied, v.Action, v.Reason, v.Author, v.MailFrom, v.Client, v.Helo, v.List, v.SPF, v.SPFDomain, v.DKIM, v.ARC,
		v.DMARC, v.Policy, v.PolicyDomain, v.Override, v.Why, v.Text, v.Door, strconv.FormatInt(v.Bytes, 10), strconv.Itoa(v.Millis), strconv.Itoa(max(1, v.N))}
	for i, f := range fields {
		fields[i] = inert(f)
	}
	return c.w.Write(fields)
}

// Flush writes the buffered lines.
func (c *CSV) Flush() error {
	c.w.Flush()
	return c.w.Error()
}

func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
