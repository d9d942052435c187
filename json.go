package postseal

import (
	"encoding/json"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/domain"
	"postseal/spf"
)

// Schema is the name of the JSON that a Report marshals to. Changes to it only add.
const Schema = "postseal.verify/1"

type reportJSON struct {
	Schema   string          `json:"schema"`
	File     string          `json:"file"`
	Ref      string          `json:"ref"`
	Decision Decision        `json:"decision"`
	SPF      []SPFJSON       `json:"spf,omitempty"`
	DKIM     []SignatureJSON `json:"dkim"`
	ARC      ARC             `json:"arc"`
	DMARC    DMARCJSON       `json:"dmarc"`
	IPRev    *IPRev          `json:"iprev,omitempty"`
	Author   authorJSON      `json:"author"`
	Headers  HeaderChanges   `json:"headers"`
	Envelope envelopeJSON    `json:"envelope"`
	Cost     Cost            `json:"cost"`
	Stale    int             `json:"stale_answers,omitempty"`
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
	e := envelopeJSON{Helo: r.Helo, From: r.ReversePath, Source: r.EnvelopeSource, FromSource: r.SenderSource}
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

// SPFJSON is one SPF result in JSON.
type SPFJSON struct {
	Identity    string   `json:"identity"`
	Domain      string   `json:"domain"`
	Result      string   `json:"result"`
	Reason      string   `json:"reason"`
	Mechanism   string   `json:"mechanism"`
	Path        []string `json:"path"`
	Explanation string   `json:"explanation"`
	Lookups     int      `json:"lookups"`
	VoidLookups int      `json:"void_lookups"`
	Problem     string   `json:"problem"`
}

// MakeSPFJSON gives s the shape of the JSON.
func MakeSPFJSON(s spf.Result) SPFJSON {
	return SPFJSON{Identity: string(s.Identity), Domain: s.Domain, Result: string(s.Code), Reason: string(s.Reason), Mechanism: s.Mechanism,
		Path: list(s.Path), Explanation: s.Explanation, Lookups: s.Lookups, VoidLookups: s.VoidLookups, Problem: s.Problem}
}

// SignatureJSON is one DKIM result in JSON.
type SignatureJSON struct {
	Result           string   `json:"result"`
	Reason           string   `json:"reason"`
	Domain           string   `json:"domain"`
	Selector         string   `json:"selector"`
	AUID             string   `json:"auid"`
	Algorithm        string   `json:"algorithm"`
	KeyBits          int      `json:"key_bits"`
	Canonicalization string   `json:"canonicalization"`
	SignedFields     []string `json:"signed_fields"`
	BodyLength       int64    `json:"body_length"`
	TestMode         bool     `json:"test_mode"`
	Diagnosis        string   `json:"diagnosis"`
	Cause            string   `json:"cause"`
	Problem          string   `json:"problem"`
}

// MakeSignatureJSON gives s the shape of the JSON.
func MakeSignatureJSON(s dkim.Signature) SignatureJSON {
	return SignatureJSON{Result: string(s.Result), Reason: string(s.Reason), Domain: s.Domain, Selector: s.Selector, AUID: s.AUID,
		Algorithm: s.Algorithm, KeyBits: s.KeyBits, Canonicalization: s.Canonicalization, SignedFields: list(s.SignedFields),
		BodyLength: s.BodyLength, TestMode: s.TestMode, Diagnosis: s.Diagnosis.Text, Cause: string(s.Diagnosis.Cause), Problem: s.Problem}
}

// AlignedJSON is one aligned identifier in JSON.
type AlignedJSON struct {
	Method string `json:"method"`
	Domain string `json:"domain"`
}

// PublishedJSON is the published policy record in JSON, absent tags as "".
type PublishedJSON struct {
	P     string `json:"p"`
	SP    string `json:"sp"`
	NP    string `json:"np"`
	T     string `json:"t"`
	PSD   string `json:"psd"`
	ADKIM string `json:"adkim"`
	ASPF  string `json:"aspf"`
}

// DMARCJSON is the DMARC result in JSON.
type DMARCJSON struct {
	Result       string        `json:"result"`
	Reason       string        `json:"reason"`
	AuthorDomain string        `json:"author_domain"`
	OrgDomain    string        `json:"org_domain"`
	PolicyDomain string        `json:"policy_domain"`
	Policy       string        `json:"policy"`
	Published    PublishedJSON `json:"published"`
	Discovery    string        `json:"discovery"`
	Aligned      []AlignedJSON `json:"aligned"`
	Queries      int           `json:"queries"`
	Guard        bool          `json:"guard"`
}

// MakeDMARCJSON gives d the shape of the JSON.
func MakeDMARCJSON(d dmarc.Result) DMARCJSON {
	aligned := make([]AlignedJSON, 0, len(d.Aligned))
	for _, a := range d.Aligned {
		aligned = append(aligned, AlignedJSON{a.Method, a.Domain})
	}
	return DMARCJSON{Result: string(d.Result), Reason: string(d.Reason), AuthorDomain: d.AuthorDomain, OrgDomain: d.OrgDomain,
		PolicyDomain: d.PolicyDomain, Policy: string(d.Policy), Published: PublishedJSON(d.Published), Discovery: string(d.Discovery),
		Aligned: aligned, Queries: d.Queries, Guard: d.Guard}
}

// MarshalJSON writes schema postseal.verify/1. Arrays are never null; spf and iprev are
// absent when the client's address is not known.
func (r *Report) MarshalJSON() ([]byte, error) {
	j := reportJSON{Schema: Schema, File: r.File, Ref: r.Ref, Decision: r.Decision, DKIM: make([]SignatureJSON, 0, len(r.DKIM)),
		ARC: r.ARC, DMARC: MakeDMARCJSON(r.DMARC), IPRev: r.IPRev,
		Author: authorJSON{list(r.Author.Domains), string(r.Author.Reason)}, Headers: r.Headers, Envelope: makeEnvelopeJSON(r), Cost: r.Cost, Stale: r.Stale}
	j.ARC.Sealers = list(r.ARC.Sealers)
	j.Headers.Add, j.Headers.Remove = list(r.Headers.Add), list(r.Headers.Remove)
	for _, s := range r.SPF {
		j.SPF = append(j.SPF, MakeSPFJSON(s))
	}
	for _, s := range r.DKIM {
		j.DKIM = append(j.DKIM, MakeSignatureJSON(s))
	}
	return json.Marshal(j)
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
