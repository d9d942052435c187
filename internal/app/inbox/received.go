package inbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"postseal/report"
	"postseal/store"
)

// One is one report as it was received, with some of its records.
type One struct {
	Report ReceivedReport
	Meta   Meta
	Rows   []Row
	Next   int64 // the number of the last of Rows, 0 if no record follows
}

// Meta is what the JSON of a report says besides its records (postseal.report/1).
type Meta struct {
	Source    string             `json:"source"`
	Email     string             `json:"email"`
	Contact   string             `json:"contact"`
	Generator string             `json:"generator"`
	Errors    []string           `json:"errors"`
	Policy    report.Published   `json:"policy"`
	Policies  []report.TLSPolicy `json:"policies"`
	Feedback  map[string]string  `json:"feedback"`
	Warnings  []report.Warning   `json:"warnings"`
	Dropped   int                `json:"warnings_dropped"`
}

// Row is a record with its number.
type Row struct {
	N int64
	report.Record
}

// ErrNoReport is returned if there is no report with a number.
var ErrNoReport = errors.New("there is no report with this number, or it was removed: reports are kept for five years")

// FindReceived returns one report with at most limit of its records after number n.
func FindReceived(ctx context.Context, db store.Inbox, id, n int64, limit int) (*One, error) {
	r, ok, err := db.InboundReport(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNoReport
	}
	x := &One{Report: ReportOf(&r)}
	if err := json.Unmarshal([]byte(r.Meta), &x.Meta); err != nil {
		return nil, fmt.Errorf("stored report %d cannot be read: %w", id, err)
	}
	x.Meta.mask(r.Kind)
	err = db.InboundRows(ctx, id, n, limit+1, func(row *store.InboundRow) error {
		if len(x.Rows) == limit {
			x.Next = x.Rows[limit-1].N
			return nil
		}
		y := Row{N: row.N}
		if err := json.Unmarshal([]byte(row.Record), &y.Record); err != nil {
			return fmt.Errorf("record %d of report %d cannot be read: %w", row.N, id, err)
		}
		x.Rows = append(x.Rows, y)
		return nil
	})
	return x, err
}

// WriteReceived writes one report with all records that are kept, as the JSON of postseal.report/1 with what is known
// of its way here. The error before anything is written is ErrNoReport or that of the database.
func WriteReceived(ctx context.Context, db store.Inbox, id int64, begin func() io.Writer) error {
	r, ok, err := db.InboundReport(ctx, id)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrNoReport
	}
	if r.Kind == string(report.Failure) {
		if r.Meta, err = maskedMeta(r.Meta); err != nil {
			return fmt.Errorf("stored report %d cannot be read: %w", id, err)
		}
	}
	kept, err := json.Marshal(struct {
		Received ReceivedReport `json:"received"`
	}{ReportOf(&r)})
	if err != nil {
		return err
	}
	head, ok := bytes.CutSuffix(bytes.TrimSpace([]byte(r.Meta)), []byte("]}"))
	if !ok || !bytes.HasPrefix(head, []byte("{")) {
		return fmt.Errorf("stored report %d is not the JSON of a report", id)
	}
	w := bufio.NewWriter(begin())
	w.Write(kept[:len(kept)-1]) //nolint:errcheck // Flush tells
	w.WriteByte(',')            //nolint:errcheck // as above
	w.Write(head[1:])           //nolint:errcheck // as above
	first := true
	err = db.InboundRows(ctx, id, 0, 0, func(row *store.InboundRow) error {
		if !first {
			w.WriteByte(',') //nolint:errcheck // Flush tells
		}
		first = false
		_, err := w.WriteString(row.Record)
		return err
	})
	if err != nil {
		return err
	}
	w.WriteString("]}\n") //nolint:errcheck // Flush tells
	return w.Flush()
}

// localPart is the part of an address before the @, with its first character apart; a quoted one may hold blanks.
var localPart = regexp.MustCompile(`([\pL\pN]?)(?:"[^"]*"|[^\s<>,;:()"])*@`)

func maskText(s string) string { return localPart.ReplaceAllString(s, "$1…@") }

// mask omits local parts of addresses from what a failure report says: it is about one message.
func (m *Meta) mask(kind string) {
	if kind != string(report.Failure) {
		return
	}
	for name, value := range m.Feedback {
		m.Feedback[name] = maskText(value)
	}
	for i := range m.Warnings {
		m.Warnings[i].Value = maskText(m.Warnings[i].Value)
	}
}

// maskedMeta is the JSON of a failure report without local parts.
func maskedMeta(text string) (string, error) {
	var all map[string]json.RawMessage
	var m Meta
	if err := errors.Join(json.Unmarshal([]byte(text), &all), json.Unmarshal([]byte(text), &m)); err != nil {
		return "", err
	}
	m.mask(string(report.Failure))
	delete(all, "records") // a failure report has none; they come last
	for name, value := range map[string]any{"feedback": m.Feedback, "warnings": m.Warnings} {
		masked, err := json.Marshal(value)
		if err != nil {
			return "", err
		}
		all[name] = masked
	}
	out, err := json.Marshal(all)
	return string(out[:max(len(out)-1, 0)]) + `,"records":[]}`, err
}
