package postseal

import (
	"net/netip"
	"time"

	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/attached"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Action is what is to be done with a message.
type Action string

// The actions. Defer asks the client to come back (4yz), Reject refuses (5yz).
const (
	Accept     Action = "accept"
	Quarantine Action = "quarantine"
	Reject     Action = "reject"
	Defer      Action = "defer"
)

// Reason names the rule that decided. The set is closed: see Reasons.
type Reason string

// The reasons of a Decision.
const (
	DMARCPass       Reason = "dmarc.pass"
	DMARCNone       Reason = "dmarc.none"        // no policy record, nothing to enforce
	DMARCPolicyNone Reason = "dmarc.policy-none" // failed, with policy none
	DMARCQuarantine Reason = "dmarc.quarantine"
	DMARCReject     Reason = "dmarc.reject"
	DMARCTempError  Reason = "dmarc.temperror"
	DMARCPermError  Reason = "dmarc.permerror"
	AuthorMalformed Reason = "author.malformed"    // no single Author Domain can be named
	MessageLimit    Reason = "message.limit"       // the header is over a limit
	FieldAdded      Reason = "message.field-added" // DMARC passes by a signature, and a field that it covers once is there again
	InternalError   Reason = "internal.error"      // a bug in postseal; the client is asked to come back
	LocalExempt     Reason = "local.exempt"        // exempt by the operator, see Override
	LocalRule       Reason = "local.rule"          // a rule of the operator, see Override
)

// Reasons lists every reason that a Decision can carry.
func Reasons() []Reason {
	return []Reason{DMARCPass, DMARCNone, DMARCPolicyNone, DMARCQuarantine, DMARCReject, DMARCTempError, DMARCPermError,
		AuthorMalformed, MessageLimit, FieldAdded, InternalError, LocalExempt, LocalRule}
}

// OverrideType is the reason type of RFC 9990 §3.1.1 for an action that differs from
// the published policy.
type OverrideType string

// The override types of RFC 9990.
const (
	LocalPolicy      OverrideType = "local_policy"
	MailingList      OverrideType = "mailing_list"
	PolicyTestMode   OverrideType = "policy_test_mode"
	TrustedForwarder OverrideType = "trusted_forwarder"
	OtherOverride    OverrideType = "other"
)

// Override tells why an action differs from the published policy.
type Override struct {
	Type    OverrideType `json:"type"`
	Comment string       `json:"comment"`
}

// Reply is an SMTP reply (RFC 5321 §4.2, RFC 3463). Lines are printable ASCII.
type Reply struct {
	Code     int      `json:"code"`
	Enhanced string   `json:"enhanced"`
	Lines    []string `json:"lines"`
}

// Decision is what to do, and why.
type Decision struct {
	Action   Action    `json:"action"`  // what the published policy and local rules ask for
	Applied  Action    `json:"applied"` // the action after the enforcement mode: what a listener does
	Reply    *Reply    `json:"reply,omitempty"`
	Reason   Reason    `json:"reason"`
	Override *Override `json:"override,omitempty"`
}

// IPRevCode is an iprev result word (RFC 8601 §2.7.3).
type IPRevCode string

// The iprev words.
const (
	IPRevPass      IPRevCode = "pass"
	IPRevFail      IPRevCode = "fail"
	IPRevTempError IPRevCode = "temperror"
	IPRevPermError IPRevCode = "permerror"
)

// IPRev is the outcome of the reverse DNS check (RFC 8601 §3).
type IPRev struct {
	Code IPRevCode `json:"result"`
	Name string    `json:"name"` // the name that resolves back, or the first claimed one
}

// HeaderField is a field to add: its value is folded with CRLF and has no line ending.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// HeaderRef names a received field by name and 1-based instance from the top, as the
// milter protocol counts.
type HeaderRef struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
}

// HeaderChanges are to be carried out in this order: Remove from its first entry to its
// last (highest instance first), then Add above the whole header, its first entry on
// top.
type HeaderChanges struct {
	Add    []HeaderField `json:"add"`
	Remove []HeaderRef   `json:"remove"`
}

// Cost is what the verification spent.
type Cost struct {
	DNSQueries int   `json:"dns_queries"`
	Signatures int   `json:"signatures"`
	Bytes      int64 `json:"bytes"`
	Micros     int64 `json:"micros"`
}

// Report is everything known about one message. It marshals to the JSON of schema
// postseal.verify/1.
type Report struct {
	Ref         string // short reference, the same in the reply, the log and the header
	Time        time.Time
	Conn        Conn
	Helo        string
	ReversePath string
	Recipients  []string

	Decision Decision
	SPF      []spf.Result // SPF[0] is the identity that DMARC uses; nil without a client address
	DKIM     []dkim.Result
	ARC      arc.Result
	// ARCTrusted: the chain passes, and its newest sealer is one of Config.TrustedSealers.
	ARCTrusted bool
	DMARC      dmarc.Result
	IPRev      *IPRev          // nil without a client address
	SPFOf      []spf.Result    // of Config.SPFOf; nil without a client address
	Header     *message.Header // as it was received, as far as the limits allow; nil is empty
	Limit      message.Reason  // the limit that the header section broke, "" when none
	Author     message.Author
	NoMail     Signal // SignalNullMX or SignalNoMailHost where the author domain was asked and takes no mail
	Headers    HeaderChanges
	Cost       Cost
	Stale      int // expired DNS answers that the verdict depends on, used while no name server answered (RFC 8767)

	from *Transaction // that made the report, nil for one made by hand
	attachedReport
}

// attachedReport has what commands and bundles note in a Report; other programs do not see it.
type attachedReport = attached.Report

// Exchanges returns every DNS question of the verification with its answer.
func (r *Report) Exchanges() []resolver.Exchange {
	if r.from == nil {
		return nil
	}
	return r.from.exchanges()
}

// RemoteIP is the address of the client, the zero Addr when it is not known.
func (r *Report) RemoteIP() netip.Addr { return r.Conn.Remote.Addr().Unmap() }
