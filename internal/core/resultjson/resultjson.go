// Package resultjson is the shape of results in the JSON of postseal.verify/1 and of the
// commands that show one mechanism. The names of its fields never change.
package resultjson

import (
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/spf"
)

// SPF is one SPF result in JSON.
type SPF struct {
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

// OfSPF gives s the shape of the JSON.
func OfSPF(s spf.Result) SPF {
	return SPF{Identity: string(s.Identity), Domain: s.Domain, Result: string(s.Code), Reason: string(s.Reason), Mechanism: s.Mechanism,
		Path: List(s.Path), Explanation: s.Explanation, Lookups: s.Lookups, VoidLookups: s.VoidLookups, Problem: s.Problem}
}

// DKIM is one DKIM result in JSON.
type DKIM struct {
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

// OfDKIM gives s the shape of the JSON.
func OfDKIM(s dkim.Result) DKIM {
	return DKIM{Result: string(s.Code), Reason: string(s.Reason), Domain: s.Domain, Selector: s.Selector, AUID: s.AUID,
		Algorithm: s.Algorithm, KeyBits: s.KeyBits, Canonicalization: s.Canonicalization, SignedFields: List(s.SignedFields),
		BodyLength: s.BodyLength, TestMode: s.TestMode, Diagnosis: s.Diagnosis.Text, Cause: string(s.Diagnosis.Cause), Problem: s.Problem}
}

// Aligned is one aligned identifier in JSON.
type Aligned struct {
	Method string `json:"method"`
	Domain string `json:"domain"`
}

// Published is the published policy record in JSON, absent tags as "".
type Published struct {
	P     string `json:"p"`
	SP    string `json:"sp"`
	NP    string `json:"np"`
	T     string `json:"t"`
	PSD   string `json:"psd"`
	ADKIM string `json:"adkim"`
	ASPF  string `json:"aspf"`
}

// DMARC is the DMARC result in JSON.
type DMARC struct {
	Result       string    `json:"result"`
	Reason       string    `json:"reason"`
	AuthorDomain string    `json:"author_domain"`
	OrgDomain    string    `json:"org_domain"`
	PolicyDomain string    `json:"policy_domain"`
	Policy       string    `json:"policy"`
	Published    Published `json:"published"`
	Discovery    string    `json:"discovery"`
	Aligned      []Aligned `json:"aligned"`
	Queries      int       `json:"queries"`
	Guard        bool      `json:"guard"`
}

// OfDMARC gives d the shape of the JSON.
func OfDMARC(d dmarc.Result) DMARC {
	aligned := make([]Aligned, 0, len(d.Aligned))
	for _, a := range d.Aligned {
		aligned = append(aligned, Aligned{a.Method, a.Domain})
	}
	return DMARC{Result: string(d.Code), Reason: string(d.Reason), AuthorDomain: d.AuthorDomain, OrgDomain: d.OrgDomain,
		PolicyDomain: d.PolicyDomain, Policy: string(d.Policy), Published: Published(d.Published), Discovery: string(d.Discovery),
		Aligned: aligned, Queries: d.Queries, Guard: d.Guard}
}

// ARC is the outcome of ARC chain validation in JSON.
type ARC struct {
	Result     string   `json:"result"`
	Reason     string   `json:"reason"`
	Instances  int      `json:"instances"`
	OldestPass int      `json:"oldest_pass"`
	Sealers    []string `json:"sealers"` // d= of each ARC-Seal, instance 1 first
	Trusted    bool     `json:"trusted"`
	Problem    string   `json:"problem"`
}

// OfARC gives r the shape of the JSON. trusted says whether its newest sealer is trusted.
func OfARC(r *arc.Result, trusted bool) ARC {
	sealers := make([]string, 0, len(r.Sealers))
	for _, s := range r.Sealers {
		sealers = append(sealers, s.Domain)
	}
	return ARC{Result: string(r.Code), Reason: string(r.Reason), Instances: r.Instances, OldestPass: r.OldestPass, Sealers: sealers,
		Trusted: trusted, Problem: r.Problem}
}

// List returns s, or an empty list for nil: arrays of the JSON are never null.
func List[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
