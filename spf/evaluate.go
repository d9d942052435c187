package spf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/middleware"
	"postseal/internal/core/reason"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
)

// evaluate tries the directives in order (RFC 7208 §4.6.2), then redirect (§6.1). name is
// the domain of the record.
func (e *evaluation) evaluate(r *spfrecord.Record, name string) *outcome {
	e.prefetch(r, name)
	for d := range r.All() {
		step := e.stepInto(name, r.Text, d.Offset)
		matched, o := e.match(d, name)
		e.stepOut(step, matched, Code(d.Qualifier), o)
		if o != nil {
			return o
		}
		if matched {
			return e.decide(r, d, name)
		}
	}
	if r.Redirect != nil && !r.HasAll {
		return e.redirect(r, name)
	}
	return e.ends(outcome{code: Neutral, reason: Default, mechanism: "default"})
}

// decide ends a record with the directive that matched. An include matched by one of the
// record that it named.
func (e *evaluation) decide(r *spfrecord.Record, d *spfrecord.Directive, name string) *outcome {
	e.matched, e.matchedAt = r, name
	o := outcome{code: Code(d.Qualifier), reason: Match, mechanism: d.Text}
	if d.Mechanism == spfrecord.Include {
		o.mechanism, o.deep = e.outcome.mechanism, true
	}
	return e.ends(o)
}

func (e *evaluation) redirect(r *spfrecord.Record, name string) *outcome {
	m := r.Redirect
	to, usable := e.target(m.Value, name)
	if !usable {
		return e.ends(outcome{code: Neutral, reason: Default, mechanism: "default"})
	}
	step := e.stepInto(name, r.Text, m.Offset)
	if o := e.spend(name, m.Text, to); o != nil {
		e.stepOut(step, false, "", o)
		return o
	}
	o := e.checkHost(to)
	e.stepOut(step, true, "", o)
	if o.code == None {
		return e.ends(outcome{code: PermError, reason: RedirectNoRecord, deep: true, problem: "redirect: " + o.problem})
	}
	return o
}

// match reports whether a directive of the record at name matches. An outcome ends the check.
func (e *evaluation) match(d *spfrecord.Directive, name string) (bool, *outcome) {
	switch d.Mechanism {
	case spfrecord.All:
		return true, nil
	case spfrecord.IP4, spfrecord.IP6:
		return d.Prefix.Contains(e.ip), nil
	}
	to := name
	if d.Target != nil {
		var usable bool
		if to, usable = e.target(d.Target, name); !usable {
			return false, nil
		}
	}
	if o := e.spend(name, d.Text, to); o != nil {
		return false, o
	}
	switch d.Mechanism {
	case spfrecord.Include:
		return e.include(to)
	case spfrecord.A:
		return e.matchAddress(d, to)
	case spfrecord.MX:
		return e.matchMX(d, to)
	case spfrecord.PTR:
		return e.matchPTR(to)
	}
	return e.matchExists(to)
}

// target expands a domain-spec. usable is false when it holds the local part of an
// internationalized address: such a term matches nothing (RFC 8616 §4).
func (e *evaluation) target(m *spfrecord.MacroString, name string) (expanded string, usable bool) {
	if s, ok := m.Static(); ok {
		return spfrecord.TruncateName(s), true
	}
	if m.Has("sloh") {
		e.cacheable = false
	}
	if !e.localASCII && m.Has("sl") {
		return "", false
	}
	expanded = m.ExpandName(e.macro(name))
	if m.Has("sl") || m.Has("h") && strings.Contains(e.helo, "@") {
		e.private = append(e.private, expanded)
	}
	return expanded, true
}

// spend counts a term that costs a lookup (RFC 7208 §4.6.4).
func (e *evaluation) spend(name, term, target string) *outcome {
	if e.lookups == e.limits.Lookups {
		return e.failed(PermError, TooManyLookups, fmt.Sprintf("more than %d terms cost a DNS lookup; %s at %s is one too many",
			e.limits.Lookups, reason.Quote(term), reason.Quote(name)))
	}
	e.lookups++
	e.spent = append(e.spent, Spend{Domain: name, Term: term, Name: target, Lookup: e.lookups})
	return nil
}

// void counts a void lookup of the term spent last. A term counts once, for its own answer: the
// limit is on terms, and an mx whose hosts have no address of the client's family is not an
// error of its owner (RFC 7208 §4.6.4, §11.1).
func (e *evaluation) void() *outcome {
	last := &e.spent[len(e.spent)-1]
	last.Void = true
	e.voids++
	if e.voids > max(e.limits.VoidLookups, 0) {
		return e.failed(PermError, TooManyVoids, fmt.Sprintf("more than %d void lookups; %s at %s is one too many",
			max(e.limits.VoidLookups, 0), reason.Quote(last.Term), reason.Quote(last.Domain)))
	}
	return nil
}

// include maps the inner result (RFC 7208 §5.2).
func (e *evaluation) include(to string) (bool, *outcome) {
	inner := e.checkHost(to)
	switch inner.code {
	case Pass:
		return true, nil
	case TempError, PermError:
		return false, inner
	case None:
		return false, e.ends(outcome{code: PermError, reason: IncludeNoRecord, deep: true, problem: "include: " + inner.problem})
	}
	return false, nil
}

func (e *evaluation) family() resolver.Type {
	if e.ip.Is4() {
		return resolver.A
	}
	return resolver.AAAA
}

func (e *evaluation) matchAddress(d *spfrecord.Directive, to string) (bool, *outcome) {
	a, err := e.lookup(to, e.family())
	if err != nil {
		return false, e.dnsFailure(err)
	}
	if len(a.Records) == 0 {
		return false, e.voidAddress(to, a)
	}
	return e.anyAddress(d, a), nil
}

// voidAddress counts an address lookup without records. The one that would end the evaluation
// counts only if the name has no address of the other family either: a term for hosts of one
// family is not an error of the owner, who cannot know which family a client has.
func (e *evaluation) voidAddress(to string, a resolver.Answer) *outcome {
	if a.NXDomain || e.voids < max(e.limits.VoidLookups, 0) {
		return e.void()
	}
	other := resolver.A
	if e.ip.Is4() {
		other = resolver.AAAA
	}
	switch b, err := e.lookup(to, other); {
	case err != nil:
		return e.dnsFailure(err)
	case len(b.Records) == 0:
		return e.void()
	}
	return nil
}

func (e *evaluation) anyAddress(d *spfrecord.Directive, a resolver.Answer) bool {
	for i := range a.Records {
		if d.Contains(a.Records[i].Addr, e.ip) {
			return true
		}
	}
	return false
}

// matchMX never falls back to the address of the target itself (RFC 7208 §5.4).
func (e *evaluation) matchMX(d *spfrecord.Directive, to string) (bool, *outcome) {
	mx, err := e.lookup(to, resolver.MX)
	switch {
	case err != nil:
		return false, e.dnsFailure(err)
	case len(mx.Records) == 0:
		return false, e.void()
	}
	hosts := e.mailHosts(mx.Records)
	for i := range hosts {
		if hosts[i].Target != "" { // null MX (RFC 7505)
			middleware.Prefetch(e.dns, hosts[i].Target, e.family())
		}
	}
	for i := range hosts {
		if hosts[i].Target == "" {
			continue
		}
		a, err := e.lookup(hosts[i].Target, e.family())
		if err != nil {
			return false, e.dnsFailure(err)
		}
		if e.anyAddress(d, a) {
			return true, nil
		}
	}
	if len(mx.Records) > len(hosts) {
		return false, e.failed(PermError, TooManyMX, fmt.Sprintf("%s has more than %d MX records, and none of the first %d matches", reason.Quote(to), len(hosts), len(hosts)))
	}
	return false, nil
}

// mailHosts returns the first ten MX records, by preference and name so that the order of an
// answer does not decide (RFC 7208 §4.6.4). A host that is named twice counts twice.
func (e *evaluation) mailHosts(records []resolver.RR) []resolver.RR {
	if len(records) <= DefaultNames {
		return records
	}
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b resolver.RR) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), strings.Compare(a.Target, b.Target))
	})
	return sorted[:DefaultNames]
}

// matchExists asks for A whatever the client's family (RFC 7208 §5.7).
func (e *evaluation) matchExists(to string) (bool, *outcome) {
	a, err := e.lookup(to, resolver.A)
	if err != nil {
		return false, e.dnsFailure(err)
	}
	if len(a.Records) == 0 {
		return false, e.void()
	}
	return true, nil
}

// matchPTR: a failed lookup is not a match (RFC 7208 §5.5).
func (e *evaluation) matchPTR(target string) (bool, *outcome) {
	names, void := e.reverseNames()
	if void {
		return false, e.void()
	}
	for _, n := range names {
		if within(n, target) && e.resolvesBack(n) {
			return true, nil
		}
	}
	return false, nil
}

// reverseNames returns the first ten names of the PTR answer (RFC 7208 §4.6.4).
func (e *evaluation) reverseNames() (names []string, void bool) {
	a, err := e.lookup(dnsdata.ReverseName(e.ip), resolver.PTR)
	if err != nil {
		return nil, false
	}
	for i := range a.Records[:min(len(a.Records), DefaultNames)] {
		names = append(names, a.Records[i].Target)
		middleware.Prefetch(e.dns, a.Records[i].Target, e.family())
	}
	return names, len(a.Records) == 0
}

func (e *evaluation) resolvesBack(name string) bool {
	a, err := e.lookup(name, e.family())
	if err != nil {
		return false
	}
	for i := range a.Records {
		if a.Records[i].Addr.Unmap() == e.ip {
			return true
		}
	}
	return false
}

// within reports whether name is target or below it. RFC 7208 §5.5 says it backwards in
// its last bullets; its procedure and example mean this.
func within(name, target string) bool {
	name, target = strings.ToLower(strings.TrimSuffix(name, ".")), strings.ToLower(strings.TrimSuffix(target, "."))
	return name == target || strings.HasSuffix(name, "."+target)
}

// prefetch asks at once for what the record will most likely need: the static targets up
// to the first directive that matches without a lookup.
func (e *evaluation) prefetch(r *spfrecord.Record, name string) {
	if _, ok := e.dns.(middleware.Prefetcher); !ok {
		return
	}
	left := e.limits.Lookups - e.lookups
	for d := range r.All() {
		if !d.Lookups() {
			if d.Mechanism == spfrecord.All || d.Prefix.Contains(e.ip) {
				return
			}
			continue
		}
		if left--; left < 0 {
			return
		}
		if target, ok := d.StaticTarget(name); ok {
			e.prefetchTerm(d.Mechanism, target)
		}
	}
	if r.Redirect != nil && left > 0 {
		if target, ok := r.Redirect.Value.Static(); ok {
			middleware.Prefetch(e.dns, spfrecord.TruncateName(target), resolver.TXT)
		}
	}
}

func (e *evaluation) prefetchTerm(m spfrecord.Mechanism, target string) {
	switch m {
	case spfrecord.Include:
		middleware.Prefetch(e.dns, target, resolver.TXT)
	case spfrecord.A:
		middleware.Prefetch(e.dns, target, e.family())
	case spfrecord.MX:
		middleware.Prefetch(e.dns, target, resolver.MX)
	case spfrecord.Exists:
		middleware.Prefetch(e.dns, target, resolver.A)
	}
}

// macro gives the values of RFC 7208 §7.2. name is <domain>, which changes through
// include and redirect; the sender's letters never do.
func (e *evaluation) macro(name string) func(letter byte) string {
	return func(letter byte) string {
		switch letter {
		case 's':
			return e.local + "@" + e.senderDomain
		case 'l':
			return e.local
		case 'o':
			return e.senderDomain
		case 'd':
			return name
		case 'i':
			return dotted(e.ip)
		case 'p':
			return e.validatedName(name)
		case 'v':
			if e.ip.Is4() {
				return "in-addr"
			}
			return "ip6"
		case 'h':
			return e.helo
		case 'c':
			return e.ip.String()
		case 'r':
			if e.Receiver != "" {
				return e.Receiver
			}
			return "unknown"
		}
		now := time.Now
		if e.Now != nil {
			now = e.Now
		}
		return fmt.Sprint(now().Unix())
	}
}

// dotted is the address of %{i}: dotted quad, or 32 dotted nibbles.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 63)
	for i, octet := range ip.As16() {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, hex[octet>>4], '.', hex[octet&15])
	}
	return string(b)
}

// validatedName is %{p}: <domain> itself, else a subdomain of it, else any name that
// resolves back (RFC 7208 §7.3).
func (e *evaluation) validatedName(name string) string {
	if e.validated == nil {
		var valid []string
		names, _ := e.reverseNames()
		for _, n := range names {
			if e.resolvesBack(n) {
				valid = append(valid, n)
			}
		}
		e.validated = &valid
	}
	best := "unknown"
	for _, n := range *e.validated {
		switch {
		case strings.EqualFold(n, name):
			return n
		case within(n, name) && !within(best, name):
			best = n
		case best == "unknown":
			best = n
		}
	}
	return best
}
