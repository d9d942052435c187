// Package attached has what packages of this module attach to a postseal.Report and a
// postseal.Transaction in addition to what these show to every program. Both embed a type of this
// package, which programs outside the module cannot see.
package attached

import (
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/message"
)

// Source says in the JSON of a Report where its message and envelope were taken from.
type Source struct {
	File     string
	Envelope string // "" if the caller gave it
	Sender   string // of the reverse-path; "" as Envelope
}

// Evidence is what a verdict depends on, except for the configuration and what the Report shows.
type Evidence struct {
	Bytes    int64 // of the body
	Calendar bool  // the body has an invitation among its parts
	// Digests are those of what each evaluated signature covers of the header section, and Bodies those of
	// the body in the forms that signatures ask for.
	Digests []canonical.Digest
	Bodies  []bodyhash.Hash
}

// Report is what a postseal.Report embeds.
type Report struct {
	source   Source
	evidence *Evidence // nil in a report made by hand
}

// Reported is a *postseal.Report.
type Reported interface{ report() *Report }

func (r *Report) report() *Report { return r }

// SetSource sets the Source of a report.
func SetSource(r Reported, s Source) { r.report().source = s }

// SourceOf returns the Source of a report, the zero Source if none was set.
func SourceOf(r Reported) Source { return r.report().source }

// SetEvidence makes e the Evidence of a report. It may be filled in later.
func SetEvidence(r Reported, e *Evidence) { r.report().evidence = e }

// EvidenceOf returns the Evidence of a report; that of a report made by hand is empty.
func EvidenceOf(r Reported) Evidence {
	if e := r.report().evidence; e != nil {
		return *e
	}
	return Evidence{}
}

// Replay is an earlier verification that a Transaction repeats without the message: the text of its
// header section may be reduced to what is not private, and the body is absent.
type Replay struct {
	Ref    string
	Author message.Author
	Limit  message.Reason // the limit that the header section broke, "" if none
	Evidence
}

// Transaction is what a postseal.Transaction embeds.
type Transaction struct{ replay *Replay }

// Begun is a *postseal.Transaction.
type Begun interface{ transaction() *Transaction }

func (t *Transaction) transaction() *Transaction { return t }

// SetReplay makes t repeat an earlier verification. It is called before EndHeader; nothing is
// written of the body.
func SetReplay(t Begun, r *Replay) { t.transaction().replay = r }

// ReplayOf returns what t repeats, nil in any other case.
func ReplayOf(t Begun) *Replay { return t.transaction().replay }
