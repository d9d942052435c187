package audit

import (
	"strings"

	"postseal/spf"
)

// Requirement is something that a large receiver requires of bulk senders, and its reply if it
// is missing.
type Requirement struct {
	Receiver string `json:"receiver"`
	Needs    string `json:"needs"`
	Met      string `json:"met"` // yes, no, unknown
	Reply    string `json:"reply"`
}

// demands lists requirements from the sender guidelines of these receivers, read in 2026.
var demands = []Requirement{
	{"Gmail", "SPF", "", "550 5.7.27"},
	{"Gmail", "DKIM", "", "550 5.7.30"},
	{"Gmail", "DMARC", "", "550 5.7.40"},
	{"Gmail", "PTR", "", "550 5.7.25"},
	{"Outlook.com", "SPF", "", "550 5.7.515 Access denied"},
	{"Outlook.com", "DKIM", "", "550 5.7.515 Access denied"},
	{"Outlook.com", "DMARC", "", "550 5.7.515 Access denied"},
	{"Yahoo", "SPF", "", "554 5.7.9 not accepted for policy reasons"},
	{"Yahoo", "DKIM", "", "554 5.7.9 not accepted for policy reasons"},
	{"Yahoo", "DMARC", "", "554 5.7.9 not accepted for policy reasons"},
	{"Yahoo", "PTR", "", "554 5.7.9 not accepted for policy reasons"},
}

// bulk checks the domain against what Gmail, Outlook.com and Yahoo require of bulk senders.
func (r *run) bulk() {
	if !r.options.Bulk {
		return
	}
	met := map[string]string{"SPF": r.bulkSPF(), "DKIM": r.bulkDKIM(), "DMARC": r.bulkDMARC(), "PTR": r.bulkPTR()}
	replies := map[string][]string{}
	for _, d := range demands {
		d.Met = met[d.Needs]
		r.report.Records.Bulk = append(r.report.Records.Bulk, d)
		if d.Met == "no" {
			replies[d.Needs] = append(replies[d.Needs], d.Receiver+" answers "+d.Reply)
		}
	}
	for _, needs := range []string{"SPF", "DKIM", "DMARC", "PTR"} {
		if met[needs] == "no" {
			r.find("bulk."+strings.ToLower(needs), Where{Name: string(r.name)}, strings.Join(replies[needs], "; "), "")
		}
	}
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func (r *run) bulkSPF() string {
	s := &r.report.Records.SPF
	switch {
	case s.State == Failed:
		return "unknown"
	case s.State != Found || s.Record == "" || s.Tree == nil || s.Tree.Result != "":
		return "no"
	}
	return yes(s.Lookups <= spf.DefaultLookups && r.authorises())
}

// bulkDKIM: an unknown key may exist, unless none can.
func (r *run) bulkDKIM() string {
	for _, k := range r.report.Records.DKIM {
		if k.State == Found && !k.Revoked && (k.Type == "rsa" && k.Bits >= 1024 || k.Type == "ed25519") {
			return "yes"
		}
	}
	if r.noKeys {
		return "no"
	}
	return "unknown"
}

func (r *run) bulkDMARC() string {
	d := &r.report.Records.DMARC
	if d.State == Failed {
		return "unknown"
	}
	return yes(d.State == Found && d.Policy != "")
}

// maxSenders bounds the addresses whose names are looked up.
const maxSenders = 8

// bulkPTR checks the addresses that the record lists individually.
func (r *run) bulkPTR() string {
	tree := r.report.Records.SPF.Tree
	if tree == nil {
		return "unknown"
	}
	result, n := "unknown", 0
	for _, t := range tree.Terms {
		for _, p := range t.Addresses {
			if !p.IsSingleIP() || n >= maxSenders || t.Unused {
				continue
			}
			n++
			switch back, known := r.leadsBack(p.Addr()); {
			case !known:
			case !back:
				r.find("bulk.ptr", Where{Name: string(r.name)}, p.Addr().String()+" has no name that resolves back to it", "")
				result = "no"
			case result == "unknown":
				result = "yes"
			}
		}
	}
	return result
}
