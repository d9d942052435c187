package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/reason"
	"postseal/internal/core/spfrecord"
	"postseal/lint"
)

// maxText is the length from which an answer may not fit 512 octets (RFC 7208 §3.4).
const maxText = 450

// Lint says what is wrong with the text of a record, or unwise in it, without asking the
// DNS.
func Lint(text string) []lint.Problem {
	if !spfrecord.IsRecord(text) {
		return []lint.Problem{{ID: "spf.not-recognised", Severity: lint.Error, Message: "receivers do not see an SPF record: the result is none",
			Fix: "begin the record with v=spf1 and a space", RFC: "7208 §4.5"}}
	}
	r, err := spfrecord.Parse(text)
	if err != nil {
		e := err.(*spfrecord.SyntaxError)
		return []lint.Problem{{ID: "spf.syntax", Severity: lint.Error, Offset: e.Offset, Message: e.Msg, Fix: syntaxFix(text, e.Offset), RFC: "7208 §4.6"}}
	}
	l := &linter{record: r, seen: map[string]bool{}}
	for i := range r.Directives {
		l.directive(&r.Directives[i])
	}
	l.modifiers()
	if l.lookups > DefaultLookups {
		l.add("lookup-limit", lint.Error, 0, fmt.Sprintf("%d terms cost a DNS lookup, the limit is 10: permerror", l.lookups),
			"replace includes by addresses, or drop what no longer sends", "7208 §4.6.4")
	}
	if !r.HasAll && r.Redirect == nil {
		l.add("all-missing", lint.Warning, len(text), "no all and no redirect: the default is neutral", "end the record in -all or ~all", "7208 §4.7")
	}
	if len(text) > maxText {
		l.add("size", lint.Warning, 0, fmt.Sprintf("%d octets may not fit a DNS answer of 512 octets", len(text)), "keep it below 450", "7208 §3.4")
	}
	return l.problems
}

// syntaxFix says how to fix the term at offset, with the most likely slip.
func syntaxFix(text string, offset int) string {
	start := strings.LastIndexByte(text[:min(offset, len(text))], ' ') + 1
	term, _, _ := strings.Cut(text[start:], " ")
	for _, all := range []string{"-all", "~all", "?all", "+all"} {
		if before, ok := strings.CutSuffix(strings.ToLower(term), all); ok && before != "" {
			return "put a space before " + all
		}
	}
	name := strings.ToLower(strings.TrimLeft(term, "+-~?"))
	sign := byte(0)
	if i := strings.IndexAny(name, ":=/"); i >= 0 {
		name, sign = name[:i], name[i]
	}
	if meant := slipOf(name); meant != "" && !(meant == name+":" && sign != '=') {
		return "did you mean " + meant + "?"
	}
	return "correct or remove this term: receivers answer permerror"
}

type linter struct {
	record   *spfrecord.Record
	lookups  int
	afterAll bool
	seen     map[string]bool
	problems []lint.Problem
}

func (l *linter) add(id string, s lint.Severity, offset int, message, fix, rfc string) {
	l.problems = append(l.problems, lint.Problem{ID: "spf." + id, Severity: s, Offset: offset, Message: message, Fix: fix, RFC: rfc})
}

func (l *linter) directive(d *spfrecord.Directive) {
	if l.afterAll {
		l.add("after-all", lint.Warning, d.Offset, "terms after all are never evaluated", "remove "+d.Written(l.record), "7208 §5.1")
		return
	}
	if key := strings.ToLower(d.Text); l.seen[key] {
		l.add("duplicate", lint.Info, d.Offset, reason.Quote(d.Text)+" occurs twice", "remove one of them", "7208 §4.6.4")
	} else {
		l.seen[key] = true
	}
	if d.Lookups() {
		l.lookups++
	}
	switch d.Mechanism {
	case spfrecord.All:
		l.afterAll = true
		l.all(d)
	case spfrecord.PTR:
		l.add("ptr", lint.Warning, d.Offset, "ptr is slow, unreliable and should not be published", "list addresses with ip4 and ip6", "7208 §5.5")
	case spfrecord.IP4, spfrecord.IP6:
		l.ranges(d)
	}
	if d.Target != nil && d.Target.Has("slo") {
		l.add("sender-macro", lint.Info, d.Offset, "the answer depends on the sender: receivers cannot reuse it for the next message", "use such macros only where each sender has its own hosts", "7208 §7.3")
	}
}

func (l *linter) all(d *spfrecord.Directive) {
	switch d.Qualifier {
	case spfrecord.Pass:
		l.add("all-permissive", lint.Critical, d.Offset, "+all lets every host of the internet send for this domain", "end the record in -all or ~all", "7208 §5.1")
	case spfrecord.Neutral:
		l.add("all-neutral", lint.Warning, d.Offset, "?all gives receivers no information about other hosts", "end the record in -all or ~all", "7208 §8.2")
	}
}

// The widest ranges that pass without a word.
const (
	widest4 = 17
	widest6 = 33
)

func (l *linter) ranges(d *spfrecord.Directive) {
	ip, bits := d.Prefix.Addr(), d.Prefix.Bits()
	if masked := d.Prefix.Masked(); d.HostBits() {
		l.add("host-bits", lint.Info, d.Offset, "the address has host bits set: receivers read "+masked.String(), "write "+masked.String(), "7208 §5.6")
	}
	if d.Qualifier == spfrecord.Pass && !private(d.Prefix) && (ip.Is4() && bits < widest4 || ip.Is6() && bits < widest6) {
		l.add("cidr-wide", lint.Warning, d.Offset, d.Prefix.String()+" is a very wide range", "list the addresses that send", "9989 §7.1")
	}
	if private(d.Prefix) {
		l.add("private-range", lint.Info, d.Offset, d.Prefix.String()+" is never the address of a client on the internet", "remove "+d.Written(l.record), "6890 §2.2.2")
	}
}

func private(p netip.Prefix) bool {
	ip := p.Addr()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
}

func (l *linter) modifiers() {
	r := l.record
	if r.Redirect != nil {
		if r.HasAll {
			l.add("redirect-unused", lint.Warning, r.Redirect.Offset, "redirect is ignored if the record has all", "remove one of them", "7208 §5.1")
		} else {
			l.lookups++
		}
	}
	for i := range r.Unknown {
		m := &r.Unknown[i]
		if meant := slipOf(m.Name); meant != "" {
			l.add("typo", lint.Error, m.Offset, reason.Quote(m.Text)+" is an unknown modifier, and is ignored", "did you mean "+meant+"?", "7208 §6")
			continue
		}
		if m.Name == "ra" || m.Name == "rp" || m.Name == "rr" {
			continue // registered by RFC 6652
		}
		l.add("unknown-modifier", lint.Info, m.Offset, reason.Quote(m.Text)+" is an unknown modifier, and is ignored", "remove it", "7208 §6")
	}
}

// slips are misspellings seen in the field.
var slips = map[string]string{"ipv4": "ip4:", "ip": "ip4:", "ipv6": "ip6:", "incl": "include:", "includes": "include:", "inlcude": "include:",
	"inculde": "include:", "incude": "include:", "redir": "redirect=", "redirct": "redirect=", "redirects": "redirect=", "exist": "exists:",
	"al": "all", "alll": "all", "mxs": "mx", "host": "a:"}

// slipOf returns the term that name was most likely meant to be: a known slip, or a
// mechanism that was written with "=", or redirect and exp with ":".
func slipOf(name string) string {
	if meant := slips[name]; meant != "" {
		return meant
	}
	switch {
	case slices.Contains([]string{"include", "ip4", "ip6", "a", "mx", "ptr", "exists"}, name):
		return name + ":"
	case name == "redirect" || name == "exp":
		return name + "="
	}
	return ""
}
