// Package failure makes the failure reports of a receiver: about one message that did not
// authenticate, for the owner of its author's domain, who asked for them by ruf (RFC 9991, RFC
// 6591). It only makes them; package outbox decides how many are sent, and to whom.
//
// A report tells what the owner needs to find the cause, and nothing else of the message: of the
// header section the fields that identify it, without local parts (RFC 6590), subject and
// recipients, and nothing of the body.
package failure

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/dmarcrecord"
	"postseal/spf"
	"postseal/store"
)

// Facts are what a failure report says of a message.
type Facts struct {
	Ref         string // of the verdict
	At          time.Time
	Author      string   // the author domain
	Policy      string   // the policy domain, whose owner asks for the report
	URIs        []string // the ruf tag of the policy
	Type        string   // dmarc, bodyhash, revoked, signature or spf (RFC 6591 §3.3, RFC 9991 §4)
	NotAligned  []string // the methods that did not authenticate an aligned identity: dkim, spf
	Result      string   // of the method of Type, as the whole Authentication-Results
	ReversePath string
	Client      netip.AddrPort
	Delivery    string        // what became of the message: delivered, spam, policy or other
	Signature   *dkim.Result  // the signature that failed, nil if none of interest did
	Records     [][2]string   // the SPF records that were used: name and text
	Header      []HeaderField // what is shown of the header section
	Incidents   int64         // like failures that this report stands for, itself included
	reason      string        // tells kinds of failures apart
}

// HeaderField is a field of the message as the report shows it.
type HeaderField struct{ Name, Value string }

// Of returns the report about a message. ok is false if its owner did not ask for one, or must
// not get one: the message passed as asked (fo, RFC 9989 §4.7), a lookup failed, so that nothing
// is known to be wrong, it has not exactly one author domain, its policy is that of a public
// suffix (RFC 9991 §2), or it is a bounce, an automatic answer or itself a report.
func Of(v store.Verdict, redact *Redactor) (f Facts, ok bool) {
	r := v.Report
	record, found := Wanted(v)
	if !found {
		return f, false
	}
	m := methodsOf(r)
	if !m.asked(record.FO, r) {
		return f, false
	}
	f = Facts{Ref: r.Ref, At: v.At, Author: string(r.Author.Domains[0]), Policy: store.Domain(r.DMARC.PolicyDomain), URIs: record.RUF, NotAligned: m.notAligned(),
		ReversePath: redact.Path(r.ReversePath), Client: r.Conn.Remote, Delivery: delivery(r), Signature: m.signature, Incidents: 1}
	f.Type, f.Result = m.kind(r)
	if m.spf == failed && r.SameOrganization(r.SPF[0].Domain) || f.Type == "spf" {
		f.Records = records(r)
	}
	f.Header = headerOf(r, redact)
	f.reason = f.Type + " " + string(r.DMARC.Reason) + m.reason(r)
	return f, true
}

// Wanted looks at what costs nothing: whether a report about the message may be wanted at all.
func Wanted(v store.Verdict) (*dmarcrecord.Record, bool) {
	r := v.Report
	if r == nil || v.Listener != "milter" && v.Listener != "smtp" || r.DMARC.Code != dmarc.Pass && r.DMARC.Code != dmarc.Fail ||
		len(r.Author.Domains) != 1 || r.Author.Reason != "" || r.Conn.UnknownSender {
		return nil, false
	}
	record, ok := dmarcrecord.Parse(r.DMARC.Record)
	if !ok || record.PSD == dmarcrecord.PSDYes || len(record.RUF) == 0 || store.IsReporting(v) {
		return nil, false
	}
	return record, true
}

// Kind tells like failures apart, in a form that shows nothing of the client: its network, the
// author domain, and the reason.
func (f *Facts) Kind() string {
	ip, bits := f.Client.Addr().Unmap(), 24
	if ip.Is6() {
		bits = 48
	}
	net, _ := ip.Prefix(bits) //nolint:errcheck // an address that is not known has no network
	sum := sha256.Sum256([]byte(net.String() + " " + f.Author + " " + f.reason))
	return hex.EncodeToString(sum[:8])
}

// state is what a method came to.
type state int

const (
	passed  state = iota
	failed        // it did not authenticate an aligned identity
	unknown       // a lookup failed, or nothing was there to check
)

// methods are the results of SPF and DKIM, for the author domain.
type methods struct {
	spf, dkim state
	signature *dkim.Result // the first that failed, of the author's organization if there is one
	spfFailed bool         // regardless of its alignment
}

func methodsOf(r *postseal.Report) (m methods) {
	m.spf, m.dkim = failed, failed
	if len(r.SPF) == 0 || r.SPF[0].Code == spf.TempError && r.DMARC.Code != dmarc.Fail {
		m.spf = unknown
	}
	for i := range r.DKIM {
		s := &r.DKIM[i]
		switch {
		case s.Code == dkim.TempError && r.DMARC.Code != dmarc.Fail: // else it could not have aligned
			m.dkim = unknown
		case s.Code != dkim.Fail && s.Code != dkim.PermError && s.Code != dkim.Neutral:
		case m.signature == nil, r.SameOrganization(s.Domain) && !r.SameOrganization(m.signature.Domain):
			m.signature = s
		}
	}
	for _, a := range r.DMARC.Aligned {
		switch a.Method {
		case "spf":
			m.spf = passed
		case "dkim":
			m.dkim = passed
		}
	}
	m.spfFailed = len(r.SPF) > 0 && slices.Contains([]spf.Code{spf.Fail, spf.SoftFail, spf.PermError}, r.SPF[0].Code)
	return m
}

// asked reports whether an option of fo asks for the report (RFC 9989 §4.7).
func (m *methods) asked(fo string, r *postseal.Report) bool {
	for option := range strings.SplitSeq(fo, ":") {
		switch {
		case option == "0" && r.DMARC.Code == dmarc.Fail,
			option == "1" && (m.spf == failed || m.dkim == failed),
			option == "d" && m.signature != nil,
			option == "s" && m.spfFailed:
			return true
		}
	}
	return false
}

func (m *methods) notAligned() (list []string) {
	if m.dkim == failed {
		list = append(list, "dkim")
	}
	if m.spf == failed {
		list = append(list, "spf")
	}
	return list
}

// kind is the type of the failure, and the result of its method alone (RFC 6591 §3.1). A method
// that failed while both authenticate an aligned identity is reported by its own type.
func (m *methods) kind(r *postseal.Report) (kind, result string) {
	switch {
	case m.dkim == failed || m.spf == failed:
		kind, result = "dmarc", "dmarc="+string(r.DMARC.Code)+" header.from="+string(r.Author.Domains[0])
	case m.signature != nil:
		kind, result = "signature", "dkim="+string(m.signature.Code)+" header.d="+word(m.signature.Domain)+" header.s="+word(m.signature.Selector)
		switch m.signature.Reason {
		case dkim.BodyHashMismatch:
			kind = "bodyhash"
		case dkim.KeyRevoked:
			kind = "revoked"
		}
	default:
		kind, result = "spf", "spf="+string(r.SPF[0].Code)
		if strings.Contains(r.ReversePath, "@") { // else SPF took a local part for a domain
			result += " smtp.mailfrom=" + word(r.SPF[0].Domain)
		}
	}
	return kind, result
}

// reason is what tells failures of one type apart.
func (m *methods) reason(r *postseal.Report) string {
	text := ""
	if len(r.SPF) > 0 {
		text += " " + string(r.SPF[0].Code)
	}
	if m.signature != nil {
		text += " " + string(m.signature.Reason) + " " + m.signature.Domain + " " + m.signature.Selector
	}
	return text
}

// delivery is what became of the message here (RFC 6591 §3.2.2).
func delivery(r *postseal.Report) string {
	switch r.Decision.Applied {
	case postseal.Accept:
		return "delivered"
	case postseal.Quarantine:
		return "spam"
	case postseal.Reject:
		if r.Decision.Reason == postseal.DMARCReject {
			return "policy"
		}
		return "reject"
	}
	return "other"
}
