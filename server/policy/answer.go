package policy

import (
	"net/netip"
	"strings"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/rules"
	"postseal/internal/core/smtpreply"
	"postseal/spf"
)

// kind is the label of an answer in the metrics.
type kind string

const (
	dunno   kind = "dunno"
	prepend kind = "prepend"
	reject  kind = "reject"
	deferIt kind = "defer"
)

// answer is an action of access(5), one line of printable ASCII. It is never OK, which would
// skip the restrictions after this one.
type answer struct {
	kind   kind
	action string
	why    string // for the log
	code   string // the start of action, before the text of a reply; "" if action is not a reply
}

var noObjection = answer{kind: dunno, action: "DUNNO"}

// maxText limits the text of a refusal: a reply line has 512 octets, and Postfix puts the
// recipient before it.
const maxText = 240

func refusal(code, why, text string) answer {
	return reply(reject, code, why, text)
}

// deferral is DEFER_IF_PERMIT: mail that a later restriction rejects permanently is not
// deferred. Its text may start with an enhanced code, but not with a basic one: Postfix adds
// that of access_map_defer_code, usually 450 (access(5), tested with 3.7.11).
func deferral(enhanced, why, text string) answer {
	return reply(deferIt, "DEFER_IF_PERMIT "+enhanced, why, text)
}

func reply(k kind, code, why, text string) answer {
	return answer{kind: k, action: code + " " + smtpreply.Clean(text, maxText), why: why, code: code}
}

// worded returns a with the operator's own text of [replies], if there is one.
func (a answer) worded(replies rules.Replies, q *request) answer {
	if a.code == "" {
		return a
	}
	from := domainOf(q.sender)
	if q.sender == "" {
		from = q.helo[strings.LastIndexByte(q.helo, '@')+1:]
	}
	if text := replies.Line(a.kind == deferIt, from, q.client, maxText); text != "" {
		return reply(a.kind, a.code, a.why, text)
	}
	return a
}

// maxUntrusted limits each piece of untrusted text, so that the whole field stays below 998
// octets (RFC 5322 §2.1.1).
const maxUntrusted = 150

// receivedSPF prepends the Received-SPF field in one line: the protocol has no folding.
func receivedSPF(result spf.Result, q *request, receiver string) answer {
	field := ""
	for most := maxUntrusted; most > 0; most /= 2 {
		r := result
		r.Domain, r.Problem, r.Mechanism = first(r.Domain, most), first(r.Problem, most), first(r.Mechanism, most)
		value := r.ReceivedSPF(spf.Request{IP: q.client, Helo: first(q.helo, most), Sender: first(q.sender, most)}, receiver)
		if field = "Received-SPF:" + strings.ReplaceAll(value, "\r\n\t", " "); len(field) <= maxFieldLine {
			break // a name may occur more than once, and quoting makes it longer
		}
	}
	return answer{kind: prepend, action: "PREPEND " + field}
}

// maxFieldLine is the longest line of a message (RFC 5322 §2.1.1).
const maxFieldLine = 998

func first(s string, octets int) string { return s[:min(len(s), octets)] }

func cut(s string) string { return s[:min(len(s), maxUntrusted)] }

// The words of the configuration that request more than a header field.
const (
	rejects = "reject"
	defers  = "defer"
)

// findings are the results for an envelope.
type findings struct {
	spf    []spf.Result // as of postseal.SPFCheck; empty without an address
	iprev  *postseal.IPRev
	nullMX bool
}

// judge returns the first answer that the configuration requests: permanent refusals come
// before deferrals.
func judge(c *conf.Config, f findings, q *request) answer {
	var later answer
	for _, a := range []answer{judgeHelo(&c.SPF, f), judgeMailFrom(&c.SPF, f, q.client), judgeNullMX(&c.Policy, f, q), judgeIPRev(&c.Policy, f, q.client)} {
		switch a.kind {
		case reject:
			return a
		case deferIt:
			if later.kind == "" {
				later = a
			}
		}
	}
	if later.kind != "" {
		return later
	}
	return noObjection
}

func judgeHelo(c *conf.SPF, f findings) answer {
	if c.HeloFail != rejects {
		return noObjection
	}
	for _, r := range f.spf {
		if r.Identity == spf.Helo && r.Code == spf.Fail {
			return refusal("550 5.7.23", "spf-helo-fail", "SPF: this client may not use the HELO name "+smtpreply.Clean(r.Domain, maxUntrusted))
		}
	}
	return noObjection
}

// judgeMailFrom uses the codes of RFC 7372 §3.2.
func judgeMailFrom(c *conf.SPF, f findings, client netip.Addr) answer {
	if len(f.spf) == 0 {
		return noObjection
	}
	r := f.spf[0]
	domain := smtpreply.Clean(r.Domain, maxUntrusted)
	switch {
	case r.Code == spf.Fail && c.Fail == rejects:
		return refusal("550 5.7.23", "spf-fail", "SPF: "+domain+" does not allow "+client.String()+" to send its mail"+explanation(r))
	case r.Code == spf.SoftFail && c.SoftFail == rejects:
		return refusal("550 5.7.23", "spf-softfail", "SPF: "+client.String()+" is probably not allowed to send mail of "+domain)
	case r.Code == spf.PermError && c.PermError == rejects:
		return refusal("550 5.7.24", "spf-permerror", "SPF: the record of "+domain+" is broken: "+smtpreply.Clean(r.Problem, maxUntrusted))
	case r.Code == spf.TempError && c.TempError == defers:
		return deferral("4.7.24", "spf-temperror", "Not accepted yet: a DNS lookup failed, so SPF for "+domain+" cannot be checked now. Your mail server will try again")
	}
	return noObjection
}

// explanation marks the text as the domain owner's (RFC 7208 §6.2, §11.5).
func explanation(r spf.Result) string {
	if r.Explanation == "" {
		return ""
	}
	return ". " + smtpreply.Clean(r.Domain, 60) + " explains: " + r.Explanation
}

// judgeNullMX rejects a sender that replies cannot reach (RFC 7505 §4.2).
func judgeNullMX(c *conf.Policy, f findings, q *request) answer {
	if c.NullMX != rejects || !f.nullMX {
		return noObjection
	}
	return refusal("550 5.7.27", "null-mx", "The sender's domain "+smtpreply.Clean(domainOf(q.sender), maxUntrusted)+" accepts no mail (null MX)")
}

func judgeIPRev(c *conf.Policy, f findings, client netip.Addr) answer {
	if c.IPRev != rejects || f.iprev == nil {
		return noObjection
	}
	switch f.iprev.Code {
	case postseal.IPRevFail, postseal.IPRevPermError:
		return refusal("550 5.7.25", "iprev-"+string(f.iprev.Code), "The reverse DNS of "+client.String()+" does not resolve back to that address")
	case postseal.IPRevTempError:
		return deferral("4.7.25", "iprev-temperror", "The reverse DNS of "+client.String()+" cannot be looked up now")
	}
	return noObjection
}

// domainOf returns the part of address after the last "@", or "" if there is none.
func domainOf(address string) string {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return ""
	}
	return address[i+1:]
}
