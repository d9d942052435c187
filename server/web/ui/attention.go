package ui

import (
	"fmt"
	"time"
)

// AttentionSchema identifies the JSON format of Attention. New fields may be added.
const AttentionSchema = "postseal.attention/1"

// Attention is what needs a person now, and how the daemon is: GET /v1/attention.
type Attention struct {
	Schema string    `json:"schema"`
	Items  []Item    `json:"attention"` // the most severe first
	Health []Measure `json:"health"`
}

// Item is one thing that needs a look. Each is found by a fixed rule.
type Item struct {
	ID       string    `json:"id"`       // the same as long as it is the same thing
	Kind     string    `json:"kind"`     // refusals, deferrals, dns, losses, store, reports, exemption, config, evidence or watch
	Severity string    `json:"severity"` // error or warning
	Text     string    `json:"text"`     // in a few words
	Detail   string    `json:"detail"`
	Rule     string    `json:"rule"`  // the threshold that was passed
	Link     string    `json:"link"`  // the page that shows it
	Since    time.Time `json:"since"` // when it was seen first
}

// Tone is the class of the item: its shape and color.
func (i Item) Tone() string {
	switch {
	case i.Kind == "deferrals" || i.Kind == "dns":
		return "hold"
	case i.Severity == "error":
		return "bad"
	}
	return "warn"
}

// Measure is one figure of the daemon's health.
type Measure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// words says in a sentence how much needs a look, "" for nothing.
func (a *Attention) words() string {
	switch len(a.Items) {
	case 0:
		return ""
	case 1:
		return " One thing needs a look."
	}
	return fmt.Sprintf(" %d things need a look.", len(a.Items))
}
