package audit

import (
	"net/netip"

	"postseal/resolver"
)

// Schema identifies the JSON format of a Report.
const Schema = "postseal.audit/1"

// Grade is A, B, C, D or F, or "" if an important check could not run.
type Grade string

// Report is the audit of one domain. It marshals to the JSON of "postseal audit".
type Report struct {
	Schema      string        `json:"schema"`
	Domain      string        `json:"domain"`
	Profile     Profile       `json:"profile"`
	Grade       Grade         `json:"grade"`
	GradeReason string        `json:"grade_reason"`
	Findings    []Finding     `json:"findings"`
	Publish     []Publication `json:"publish"`   // one for each name whose findings a new record fixes
	NoRecord    []NoRecord    `json:"no_record"` // names whose record must be rewritten by hand
	Unchecked   []Unchecked   `json:"unchecked"`
	Tried       []string      `json:"selectors_tried"` // DKIM selectors, most reliable source first
	Records     Records       `json:"records"`
	Cost        Cost          `json:"cost"`
}

// Finding is one violation of a rule.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail"`
	Fix      string   `json:"fix"`
	Publish  string   `json:"publish,omitempty"` // the value of the Publication that fixes it, or ""
	RFC      string   `json:"rfc"`
	Where    Where    `json:"where"`
}

// Where is the position of a finding: a DNS name, and the octet in the record there.
type Where struct {
	Name   string `json:"name"`
	Offset int    `json:"offset"`
	Record string `json:"record,omitempty"` // the text that Offset counts in
}

// Unchecked is a query without an answer. It says nothing about the domain.
type Unchecked struct {
	Check  string        `json:"check"`
	Name   string        `json:"name"`
	Kind   resolver.Kind `json:"kind"`
	Detail string        `json:"detail,omitempty"`
	Grave  bool          `json:"grave"` // no grade without it
}

// Cost is the work that the audit took.
type Cost struct {
	DNSQueries int   `json:"dns_queries"`
	Micros     int64 `json:"micros"`
}

// Profile says how a domain uses mail.
type Profile string

// The profiles. Both: it sends and receives. Parked: neither. Unknown: the lookups that would
// tell failed.
const (
	Auto      Profile = "auto"
	Both      Profile = "both"
	Sending   Profile = "sending"
	Receiving Profile = "receiving"
	Parked    Profile = "parked"
	Unknown   Profile = "unknown"
)

// Sends reports whether the domain is known to send mail.
func (p Profile) Sends() bool { return p == Both || p == Sending }

// Receives reports whether the domain is known to receive mail.
func (p Profile) Receives() bool { return p == Both || p == Receiving }

// State is the outcome of a query.
type State string

// The states. NoData: the name exists and has no record of this kind. Failed: the lookup
// failed, so the state is unknown.
const (
	Found    State = "found"
	NoData   State = "nodata"
	NXDomain State = "nxdomain"
	Failed   State = "unchecked"
)

// Status is the outcome for one kind of record.
type Status struct {
	Name  string        `json:"name"`
	State State         `json:"state"`
	Kind  resolver.Kind `json:"kind,omitempty"` // of the failure
}

// Records is what the audit found.
type Records struct {
	SPF   SPF       `json:"spf"`
	DMARC DMARC     `json:"dmarc"`
	DKIM  []DKIMKey `json:"dkim"`
	MX    []MXHost  `json:"mx"`

	MTASTS MTASTS        `json:"mta_sts"`
	TLSRPT TLSRPT        `json:"tls_rpt"`
	DANE   []TLSA        `json:"dane"`
	TLS    []TLSProbe    `json:"tls,omitempty"`
	DNSSEC DNSSEC        `json:"dnssec"`
	BIMI   BIMI          `json:"bimi"`
	CAA    []CAA         `json:"caa"`
	NS     []NameServer  `json:"ns"`
	Bulk   []Requirement `json:"bulk,omitempty"`
}

// SPF is the record of RFC 7208 and its result.
type SPF struct {
	Status
	Record      string      `json:"record"`
	Lookups     int         `json:"lookups"`
	VoidLookups int         `json:"void_lookups"`
	Voids4      int         `json:"void_lookups_ipv4"`
	Voids6      int         `json:"void_lookups_ipv6"`
	Addresses4  string      `json:"addresses_ipv4"` // decimal; how many addresses pass
	Addresses6  string      `json:"addresses_ipv6"`
	Tree        *SPFNode    `json:"tree,omitempty"`
	Samples     []SPFSample `json:"samples"`
	Steps       []SPFStep   `json:"fix_steps"`            // to stay within the limits
	Proposed    string      `json:"fix_record,omitempty"` // the record after these steps
}

// SPFNode is the record of one domain in the tree.
type SPFNode struct {
	Domain  string    `json:"domain"`
	Result  string    `json:"result,omitempty"` // the result of check_host() without a valid record
	Problem string    `json:"problem,omitempty"`
	Record  string    `json:"record"`
	Lookups int       `json:"lookups"`
	Terms   []SPFTerm `json:"terms"`
}

// SPFTerm is one term of a record.
type SPFTerm struct {
	Text      string         `json:"text"`
	Offset    int            `json:"offset"`
	Lookup    int            `json:"lookup,omitempty"` // its number in the tree
	Name      string         `json:"name,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	Void      bool           `json:"void,omitempty"`
	Unused    bool           `json:"unused,omitempty"`
	Again     bool           `json:"again,omitempty"` // the same name was followed before
	Problem   string         `json:"problem,omitempty"`
	Child     *SPFNode       `json:"child,omitempty"`
}

// SPFSample is the result of check_host() for one client, for records with macros.
type SPFSample struct {
	IP        netip.Addr `json:"ip"`
	Sender    string     `json:"from"`
	Result    string     `json:"result"`
	Mechanism string     `json:"mechanism"`
	Lookups   int        `json:"lookups"`
	Expanded  []string   `json:"expanded"` // the names after macro expansion
}

// SPFStep is one change that reduces the lookups of the record.
type SPFStep struct {
	Term    string `json:"term"`
	Do      string `json:"do"` // drop, or the replacement
	Why     string `json:"why"`
	Lookups int    `json:"lookups"` // after it
}

// DMARC is the policy that applies, by RFC 9989 and for a receiver that follows RFC 7489.
type DMARC struct {
	Status
	Record       string      `json:"record"`
	PolicyDomain string      `json:"policy_domain"`
	OrgDomain    string      `json:"org_domain"`
	Policy       string      `json:"policy"` // effective for the domain itself
	P            string      `json:"p"`
	SP           string      `json:"sp"`
	NP           string      `json:"np"`
	ADKIM        string      `json:"adkim"`
	ASPF         string      `json:"aspf"`
	Test         bool        `json:"test"`
	RUA          []ReportURI `json:"rua"`
	RUF          []ReportURI `json:"ruf"`
	Walk         []WalkStep  `json:"walk"`
	PSL          PSLView     `json:"psl"`
}

// WalkStep is one query of the tree walk.
type WalkStep struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"` // record, none, several, unknown
	Record  string `json:"record,omitempty"`
}

// PSLView is what a receiver with a public suffix list sees (RFC 7489).
type PSLView struct {
	OrgDomain    string `json:"org_domain"`
	PolicyDomain string `json:"policy_domain"`
	Policy       string `json:"policy"`
}

// ReportURI is one destination of reports.
type ReportURI struct {
	URI        string `json:"uri"`
	External   bool   `json:"external"`
	Authorised string `json:"authorised"` // yes, no, unknown; "" when not external
}

// DKIMKey is the key of one selector.
type DKIMKey struct {
	Status
	Selector string `json:"selector"`
	Source   Source `json:"source"`
	Last     string `json:"last_seen,omitempty"` // the day on which mail was last signed with it
	Record   string `json:"record"`
	Type     string `json:"type"`
	Bits     int    `json:"bits"`
	TestMode bool   `json:"test_mode"`
	Revoked  bool   `json:"revoked"`
	Alias    string `json:"cname,omitempty"`

	lengths []int // of the character-strings
}

// MXHost is one host that accepts mail for the domain.
type MXHost struct {
	Name       string       `json:"name"` // "" is the null MX of RFC 7505
	Preference uint16       `json:"preference"`
	Addresses  []netip.Addr `json:"addresses"`
	FCrDNS     string       `json:"fcrdns"` // pass, fail, unknown; "" without addresses
}
