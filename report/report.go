package report

import (
	"net/netip"
	"time"
)

// Kind is the kind of a report.
type Kind string

// The kinds of report.
const (
	Aggregate Kind = "aggregate" // RFC 9990
	TLS       Kind = "tls"       // RFC 8460
	Failure   Kind = "failure"   // RFC 9991
)

// Report is one report without its records. Text is as the reporter wrote it, without the
// white space around it, without control characters, and cut to 255 characters; domains are in
// lower case and without a trailing dot.
type Report struct {
	Kind      Kind
	Source    string // where it was found: the input, then the part or the file in it
	Org       string
	Email     string
	Contact   string // extra_contact_info
	ID        string
	Domain    string    // the policy domain of an aggregate report, the reported domain of a failure report
	Begin     time.Time // UTC; zero if the kind has none
	End       time.Time
	Generator string
	Errors    []string // error elements of the reporter (RFC 9990 §3.1.1.3)
	Published Published
	Rows      int   // records kept
	Messages  int64 // sum of their counts

	Policies []TLSPolicy       // of a TLS report
	Feedback map[string]string // of a failure report: its fields by name in lower case with "_" for "-"

	Warnings []Warning // the first 100; Dropped counts the others
	Dropped  int
}

// Published is the policy that an aggregate report shows, as written (RFC 9990 §3.1.1.5).
type Published struct {
	P         string `json:"p,omitempty"`
	SP        string `json:"sp,omitempty"`
	NP        string `json:"np,omitempty"`
	ADKIM     string `json:"adkim,omitempty"`
	ASPF      string `json:"aspf,omitempty"`
	Pct       string `json:"pct,omitempty"`
	FO        string `json:"fo,omitempty"`
	Testing   string `json:"testing,omitempty"`
	Discovery string `json:"discovery_method,omitempty"`
}

// Record is one record of an aggregate report (RFC 9990 §3.1.1.7 and on).
type Record struct {
	IP           netip.Addr `json:"ip"`
	Count        int64      `json:"count"` // 1 to 2^40
	Disposition  string     `json:"disposition"`
	DKIM         string     `json:"dkim"` // the aligned result
	SPF          string     `json:"spf"`
	HeaderFrom   string     `json:"header_from"`
	EnvelopeFrom string     `json:"envelope_from,omitempty"`
	EnvelopeTo   string     `json:"envelope_to,omitempty"`
	Reasons      []Override `json:"reasons"`
	AuthDKIM     []DKIMAuth `json:"auth_dkim"`
	AuthSPF      []SPFAuth  `json:"auth_spf"`
}

// Override is a reason why the applied policy differs from the published one.
type Override struct {
	Type    string `json:"type"`
	Comment string `json:"comment,omitempty"`
}

// DKIMAuth is the result of one DKIM signature.
type DKIMAuth struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"`
	Result   string `json:"result"`
}

// SPFAuth is one SPF result. Scope is mfrom or helo, "" if the report has none.
type SPFAuth struct {
	Domain string `json:"domain"`
	Scope  string `json:"scope,omitempty"`
	Result string `json:"result"`
}

// TLSPolicy is one policy of a TLS report with its sessions (RFC 8460 §4.4).
type TLSPolicy struct {
	Type       string       `json:"type"` // sts, tlsa, no-policy-found
	Domain     string       `json:"domain"`
	MX         []string     `json:"mx,omitempty"`
	Successful int64        `json:"successful"`
	Failed     int64        `json:"failed"`
	Failures   []TLSFailure `json:"failures"`
}

// TLSFailure is one failure-details element of a TLS report.
type TLSFailure struct {
	Type        string `json:"type"`
	Count       int64  `json:"count"`
	SendingIP   string `json:"sending_ip,omitempty"`
	ReceivingMX string `json:"receiving_mx,omitempty"`
	ReceivingIP string `json:"receiving_ip,omitempty"`
	Reason      string `json:"reason,omitempty"`
}
