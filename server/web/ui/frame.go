package ui

import (
	"time"

	"postseal/internal/app/history"
)

// StreamFrame is one event of GET /v1/live: what happened since the frame before.
type StreamFrame struct {
	Seq    int64          `json:"seq"`
	At     time.Time      `json:"at"`
	Counts map[string]int `json:"counts"` // by action, those above 0
	Rows   []StreamRow    `json:"rows"`   // the newest first
	Runs   []StreamRun    `json:"runs"`   // accepted mail that shares a line
}

// StreamRow is a verdict, or several that repeat it.
type StreamRow struct {
	history.Verdict
	N      int                   `json:"n"`
	Sender string                `json:"sender"`
	Client string                `json:"client"` // the network, if N is above 1
	Marks  map[string]StreamMark `json:"marks"`  // spf, dkim, dmarc
}

// StreamMark says how a result is shown: its shape, its color and its text for screen readers.
type StreamMark struct {
	Symbol string `json:"symbol"`
	Tone   string `json:"tone"`
	Words  string `json:"words"`
}

// StreamRun is consecutive accepted mail.
type StreamRun struct {
	N    int       `json:"n"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// NewFrame returns the frame of verdicts, the newest first. With folded, accepted mail and repeats
// share a row, as on the page.
func NewFrame(seq int64, at time.Time, counts map[string]int, verdicts []history.Verdict, folded bool) *StreamFrame {
	f := &StreamFrame{Seq: seq, At: at.UTC(), Counts: counts, Rows: []StreamRow{}, Runs: []StreamRun{}}
	for _, l := range fold(verdicts, folded) {
		if l.Run != "" {
			f.Runs = append(f.Runs, StreamRun{l.Times, l.At, l.Run})
			continue
		}
		row := StreamRow{Verdict: *l.Verdict, N: l.Times, Sender: l.MailFrom, Client: l.Verdict.Client, Marks: map[string]StreamMark{}}
		if l.Times > 1 {
			row.Client = networkOf(l.Verdict.Client)
		}
		for key, method := range map[string]string{"spf": "SPF", "dkim": "DKIM", "dmarc": "DMARC"} {
			row.Marks[key] = StreamMark(markOf(l.Verdict, method))
		}
		f.Rows = append(f.Rows, row)
	}
	return f
}

// ShowTerms returns the search terms of a choice of the page Live. ok is false if there is no such
// choice.
func ShowTerms(show string) (terms string, ok bool) {
	switch show {
	case "", "exceptions", "all":
		return "", true
	case "reject", "quarantine", "defer":
		return " applied:" + show, true
	}
	return "", false
}
