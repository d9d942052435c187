package report

import (
	"encoding/json"
	"io"
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Schema is the name of the JSON form of a report.
const Schema = "postseal.report/1"

// reportJSON is a report without its records.
type reportJSON struct {
	Schema    string            `json:"schema"`
	Kind      Kind              `json:"kind"`
	Source    string            `json:"source"`
	Org       string            `json:"org"`
	Email     string            `json:"email"`
	Contact   string            `json:"contact,omitempty"`
	ID        string            `json:"report_id"`
	Domain    string            `json:"domain"`
	Begin     string            `json:"begin"`
	End       string            `json:"end"`
	Generator string            `json:"generator,omitempty"`
	Errors    []string          `json:"errors,omitempty"`
	Policy    Published         `json:"policy"`
	Rows      int               `json:"rows"`
	Messages  int64             `json:"messages"`
	Policies  []TLSPolicy       `json:"policies,omitempty"`
	Feedback  map[string]string `json:"feedback,omitempty"`
	Warnings  []Warning         `json:"warnings"`
	Dropped   int               `json:"warnings_dropped,omitempty"`
}

// WriteJSON writes r as one JSON object of schema postseal.report/1 and a line ending. records
// holds its records as JSON values with commas between them.
func (r *Report) WriteJSON(w io.Writer, records io.Reader) error {
	head, err := json.Marshal(reportJSON{Schema: Schema, Kind: r.Kind, Source: r.Source, Org: r.Org, Email: r.Email, Contact: r.Contact,
		ID: r.ID, Domain: r.Domain, Begin: stamp(r.Begin), End: stamp(r.End), Generator: r.Generator, Errors: r.Errors,
		Policy: r.Published, Rows: r.Rows, Messages: r.Messages, Policies: r.Policies, Feedback: r.Feedback,
		Warnings: append([]Warning{}, r.Warnings...), Dropped: r.Dropped})
	if err != nil {
		return err
	}
	if _, err := w.Write(append(head[:len(head)-1], `,"records":[`...)); err != nil {
		return err
	}
	if records != nil {
		if _, err := io.Copy(w, records); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}

// stamp is t in RFC 3339, "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
