package postseal

import (
	"encoding/json"

	"postseal/domain"
	"postseal/internal/core/attached"
	"postseal/internal/core/resultjson"
)

// Schema is the name of the JSON that a Report marshals to. Changes to it only add.
const Schema = "postseal.verify/1"

type reportJSON struct {
	Schema   string            `json:"schema"`
	File     string            `json:"file"`
	Ref      string            `json:"ref"`
	Decision Decision          `json:"decision"`
	SPF      []resultjson.SPF  `json:"spf,omitempty"`
	DKIM     []resultjson.DKIM `json:"dkim"`
	ARC      resultjson.ARC    `json:"arc"`
	DMARC    resultjson.DMARC  `json:"dmarc"`
	IPRev    *IPRev            `json:"iprev,omitempty"`
	Author   authorJSON        `json:"author"`
	Headers  HeaderChanges     `json:"headers"`
	Envelope envelopeJSON      `json:"envelope"`
	Cost     Cost              `json:"cost"`
	Stale    int               `json:"stale_answers,omitempty"`
}

// envelopeJSON is the envelope that was used. from_source tells the null path, which is "" too,
// from one that is not known.
type envelopeJSON struct {
	IP         string `json:"ip"`
	Helo       string `json:"helo"`
	From       string `json:"from"`
	Source     string `json:"source"`
	FromSource string `json:"from_source"`
}

// Sources of an envelope.
const (
	sourceFlags   = "flags"
	sourceNone    = "none"
	sourceUnknown = "unknown"
)

func makeEnvelopeJSON(r *Report) envelopeJSON {
	from := attached.SourceOf(&r.attachedReport)
	e := envelopeJSON{Helo: r.Helo, From: r.ReversePath, Source: from.Envelope, FromSource: from.Sender}
	if ip := r.RemoteIP(); ip.IsValid() {
		e.IP = ip.String()
	}
	if e.Source == "" {
		e.Source = sourceFlags
		if e.IP == "" && e.Helo == "" && e.From == "" {
			e.Source = sourceNone
		}
	}
	switch {
	case r.Conn.UnknownSender:
		e.From, e.FromSource = "", sourceUnknown
	case e.FromSource == "":
		e.FromSource = e.Source
	}
	return e
}

type authorJSON struct {
	Domains []domain.Name `json:"domains"`
	Reason  string        `json:"reason"`
}

// MarshalJSON writes schema postseal.verify/1. Arrays are never null; spf and iprev are
// absent when the client's address is not known, and file is empty.
func (r *Report) MarshalJSON() ([]byte, error) {
	j := reportJSON{Schema: Schema, File: attached.SourceOf(&r.attachedReport).File, Ref: r.Ref, Decision: r.Decision, DKIM: make([]resultjson.DKIM, 0, len(r.DKIM)),
		ARC: resultjson.OfARC(&r.ARC, r.ARCTrusted), DMARC: resultjson.OfDMARC(r.DMARC), IPRev: r.IPRev,
		Author: authorJSON{resultjson.List(r.Author.Domains), string(r.Author.Reason)}, Headers: r.Headers, Envelope: makeEnvelopeJSON(r), Cost: r.Cost, Stale: r.Stale}
	j.Headers.Add, j.Headers.Remove = resultjson.List(r.Headers.Add), resultjson.List(r.Headers.Remove)
	for _, s := range r.SPF {
		j.SPF = append(j.SPF, resultjson.OfSPF(s))
	}
	for _, s := range r.DKIM {
		j.DKIM = append(j.DKIM, resultjson.OfDKIM(s))
	}
	return json.Marshal(j)
}
