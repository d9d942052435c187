package store

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/domain"
	"postseal/message"
	"postseal/resolver"
)

// Verdict is a message as a listener ended it, or as an archive holds it.
type Verdict struct {
	Report   *postseal.Report
	QueueID  string // of the MTA, "" where there is none
	Listener string // milter, smtp, http or replay
	Enforce  string // the mode that was applied
	At       time.Time
	// ReportAddress is the address from which this receiver sends aggregate reports, "" if it
	// sends none. Mail to it is never the reason of a report.
	ReportAddress string
	MessageIDKey  MessageIDKey // nil keeps no hash of the Message-ID
}

// FromReport returns the row of a verdict. It keeps nothing of the report.
func FromReport(v Verdict) Row {
	r := v.Report
	d := &r.Decision
	row := Row{Millis: clampMillis(Millis(v.At)), Ref: Clean(r.Ref), QID: Clean(v.QueueID), Door: v.Listener,
		Action: string(d.Action), Applied: string(d.Applied), Enforce: v.Enforce, Reason: string(d.Reason),
		MFrom: mailDomain(r.ReversePath), Helo: Clean(r.Helo), IP: r.RemoteIP().WithZone(""), List: listDomain(r.Header),
		SPF: "skipped", DKIM: signatures(r), DMARC: string(r.DMARC.Code), Aligned: aligned(r), P: string(r.DMARC.Policy), PolicyDom: Domain(r.DMARC.PolicyDomain),
		ARC: string(r.ARC.Code), Stale: r.Stale, DNS: r.Cost.DNSQueries, Bytes: r.Cost.Bytes, Took: int(min(r.Cost.Micros/1000, 1<<31-1)), Cause: cause(v)}
	setAuthors(&row, r.Author.Domains)
	if len(r.SPF) > 0 {
		row.SPF = string(r.SPF[0].Code)
		if r.ReversePath == "" || row.MFrom != "" { // else SPF took the local part for a domain
			row.SPFDomain = Domain(r.SPF[0].Domain)
		}
	}
	if r.IPRev != nil {
		row.IPRev = string(r.IPRev.Code)
	}
	if d.Override != nil {
		row.Override, row.Why = string(d.Override.Type), Clean(d.Override.Comment)
	}
	if text := policyText(r); text != "" {
		row.PolicyHash = hashOf(row.PolicyDom, text)
	}
	row.MessageID = messageIDOf(r.Header, v.MessageIDKey)
	return row
}

// messageIDOf is the hash of the first Message-ID.
func messageIDOf(h *message.Header, key MessageIDKey) Hash {
	if len(key) == 0 || h == nil {
		return Hash{}
	}
	for i := range h.Len() {
		if f := h.At(i); f.Is("Message-ID") {
			return key.Hash(string(f.Value()))
		}
	}
	return Hash{}
}

func setAuthors(row *Row, names []domain.Name) {
	if len(names) == 0 {
		return
	}
	row.Author = Clean(string(names[0]))
	if len(names) == 1 {
		return
	}
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	row.Authors = Clean(strings.Join(all, ","))
}

// MaxSignatures bounds the text of the signatures of a row, in octets.
const MaxSignatures = 4096

// signatures is "pass:d/s,fail:d/s(reason)" in the order of the results, as many as fit into
// MaxSignatures octets; "none" without any. Aggregate reports list them all (RFC 9990 §3.1.1.11).
func signatures(r *postseal.Report) string {
	if len(r.DKIM) == 0 {
		return "none"
	}
	var b strings.Builder
	for i := range r.DKIM {
		s := &r.DKIM[i]
		part := string(s.Code) + ":" + word(s.Domain) + "/" + word(s.Selector)
		if s.Code != "pass" {
			part += "(" + strings.TrimPrefix(string(s.Reason), "dkim.") + ")"
		}
		if b.Len() > 0 {
			part = "," + part
		}
		if b.Len()+len(part) > MaxSignatures {
			break
		}
		b.WriteString(part)
	}
	return b.String()
}

// maxName is the longest domain name (RFC 1035 §2.3.4), in octets.
const maxName = 253

// word keeps letters, digits, ".", "-" and "_" of untrusted text; the rest becomes "?".
func word(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '?'
	}, s[:min(len(s), maxName)])
}

func aligned(r *postseal.Report) string {
	spf, dkim := false, false
	for _, a := range r.DMARC.Aligned {
		spf, dkim = spf || a.Method == "spf", dkim || a.Method == "dkim"
	}
	switch {
	case spf && dkim:
		return "both"
	case spf:
		return "spf"
	case dkim:
		return "dkim"
	}
	return "none"
}

// listDomain returns the domain part of the identifier of List-Id (RFC 2919 §2): what comes
// after its first label.
func listDomain(h *message.Header) string {
	if h == nil {
		return ""
	}
	for i := range h.Len() {
		f := h.At(i)
		if !f.Is("List-Id") {
			continue
		}
		value := f.Value()
		open, end := bytes.LastIndexByte(value, '<'), bytes.LastIndexByte(value, '>')
		if open < 0 || end < open {
			return ""
		}
		_, name, found := strings.Cut(string(bytes.TrimSpace(value[open+1:end])), ".")
		if parsed, err := domain.Parse(name); found && err == nil {
			return string(parsed)
		}
		return ""
	}
	return ""
}

// PolicyOf returns the policy that applied to a message, in the form in which the row of the
// message names it by its hash. ok is false if none applied.
func PolicyOf(v Verdict) (p Policy, ok bool) {
	text := policyText(v.Report)
	if text == "" {
		return p, false
	}
	name, now := Domain(v.Report.DMARC.PolicyDomain), Millis(v.At)
	return Policy{Hash: hashOf(name, text), Domain: name, Text: text, Discovery: string(v.Report.DMARC.Discovery), First: now, Last: now}, true
}

// policyText returns the record that applied.
func policyText(r *postseal.Report) string {
	if r.DMARC.Record == "" || r.DMARC.PolicyDomain == "" {
		return ""
	}
	return clean(r.DMARC.Record, MaxRecord)
}

// MaxRecord bounds the text of a DNS record that is kept, in octets.
const MaxRecord = 2048

func hashOf(parts ...string) (h Hash) {
	d := sha256.New()
	for _, p := range parts {
		d.Write([]byte(p))
		d.Write([]byte{0})
	}
	copy(h[:], d.Sum(nil))
	return h
}

// maxFacts bounds what is learned from one message.
const maxFacts = 32

// Learn returns what a message shows about the domains that it names: their DMARC policy,
// the selectors that sign for them, and the TXT records that the DNS answered. A sender
// chooses what is looked up, so the caller bounds the number of facts.
func Learn(v Verdict) Batch {
	r, now := v.Report, Millis(v.At)
	var b Batch
	if p, ok := PolicyOf(v); ok {
		b.Policies = append(b.Policies, p)
	}
	for i := range r.DKIM {
		s := &r.DKIM[i]
		name, err := domain.Parse(s.Domain)
		if err != nil || s.Selector == "" || s.KeyBits == 0 || len(b.Selectors) == maxFacts { // without a key anyone may have made the selector up
			continue
		}
		b.Selectors = append(b.Selectors, Selector{Domain: string(name), Selector: Domain(s.Selector), Algorithm: Clean(s.Algorithm), Bits: s.KeyBits,
			Verified: s.Code == "pass", First: now, Last: now})
	}
	learnRecords(&b, r, now)
	return b
}

func learnRecords(b *Batch, r *postseal.Report, now int64) {
	for _, x := range r.Exchanges() {
		if len(b.Records) == maxFacts {
			return
		}
		if x.Type != resolver.TXT || x.Err != nil || x.Answer.Stale || len(x.Answer.Records) == 0 || private(r, x.Name) {
			continue
		}
		name, err := domain.Parse(x.Name)
		if err != nil {
			continue
		}
		texts := make([]string, len(x.Answer.Records))
		for i, rr := range x.Answer.Records {
			texts[i] = clean(rr.Text, MaxRecord)
		}
		slices.Sort(texts)
		text := strings.Join(texts, "\n")
		text = strings.ToValidUTF8(text[:min(len(text), MaxRecord)], "")
		b.Records = append(b.Records, Record{Domain: Registrable(string(name)), Name: string(name), Hash: hashOf(text), Text: text, First: now, Last: now})
	}
}

// private reports whether a name holds the local part of the sender (RFC 7208 §7.2, macros
// %{s} and %{l}).
func private(r *postseal.Report, name string) bool {
	for i := range r.SPF {
		if slices.ContainsFunc(r.SPF[i].LocalPartNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
	}
	return false
}

// Registrable returns the domain under which the records of a name are found: one label below
// its public suffix, or the name itself.
func Registrable(name string) string {
	parsed, err := domain.Parse(name)
	if err != nil {
		return Domain(name)
	}
	if r := parsed.Registrable(); r != "" {
		return string(r)
	}
	return string(parsed)
}
