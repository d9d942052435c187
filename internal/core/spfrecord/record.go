// Package spfrecord reads SPF records: the record among the TXT records of a domain, its terms and
// its macros (RFC 7208 §4.5, §4.6, §7).
package spfrecord

import (
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"postseal/internal/core/reason"
)

// Mechanism is the name of a mechanism (RFC 7208 §5).
type Mechanism string

// The mechanisms of RFC 7208 §5.
const (
	All     Mechanism = "all"
	Include Mechanism = "include"
	A       Mechanism = "a"
	MX      Mechanism = "mx"
	PTR     Mechanism = "ptr"
	IP4     Mechanism = "ip4"
	IP6     Mechanism = "ip6"
	Exists  Mechanism = "exists"
)

// Directive is a qualifier with its mechanism (RFC 7208 §4.6.1).
type Directive struct {
	Qualifier Code // Pass, Fail, SoftFail or Neutral
	Mechanism Mechanism
	Target    *MacroString // domain-spec; nil is the domain of the record
	Prefix    netip.Prefix // ip4, ip6
	Bits4     int          // a, mx: prefix length for IPv4, 32 by default
	Bits6     int          // a, mx: prefix length for IPv6, 128 by default
	Text      string       // as written, without the qualifier
	Offset    int          // of the directive in Record.Text
}

// Modifier is a name=value term (RFC 7208 §6).
type Modifier struct {
	Name   string // lower case
	Value  *MacroString
	Text   string // as written
	Offset int
}

// Record is a parsed SPF record (RFC 7208 §4.6.1, §12).
type Record struct {
	Text       string
	Directives []Directive // all of Parse; of Choose the first ones, see All
	Redirect   *Modifier
	Exp        *Modifier
	Unknown    []Modifier // ignored (RFC 7208 §6)
	HasAll     bool       // all disables Redirect (RFC 7208 §5.1)
	rest       int        // where in Text the directives begin that are not in Directives; 0: nowhere
}

// SyntaxError says where and why a record is invalid (RFC 7208 §4.6).
type SyntaxError struct {
	Offset int // in the text of the record
	Reason Reason
	Msg    string
}

// Error names the octet and what is wrong there.
func (e *SyntaxError) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

const version = "v=spf1"

// IsRecord reports whether a TXT record begins with the version section of SPF: v=spf1
// alone or before a space (RFC 7208 §4.5).
func IsRecord(text string) bool {
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

// Parse parses a whole record; an error anywhere spoils all of it (RFC 7208 §4.6). The
// error is a *SyntaxError.
func Parse(text string) (*Record, error) {
	return parse(text, strings.Count(text, " "), true)
}

// parse keeps so many directives, and modifiers without a meaning only if whole. All returns the others.
func parse(text string, keep int, whole bool) (*Record, error) {
	if !IsRecord(text) {
		return nil, &SyntaxError{0, BadTerm, `a record begins with "v=spf1" and a space`}
	}
	r := &Record{Text: text, Directives: make([]Directive, 0, min(keep, strings.Count(text, " ")))}
	for pos := len(version); pos < len(text); {
		begin, end := nextTerm(text, pos)
		if begin == end {
			break
		}
		d, err := r.term(text[begin:end], begin)
		switch {
		case err != nil:
			return nil, err
		case d.Mechanism == "" || r.rest > 0:
		case len(r.Directives) < keep:
			r.Directives = append(r.Directives, d)
		default:
			r.rest = begin
		}
		pos = end
	}
	if !whole {
		r.Unknown = nil
	}
	return r, nil
}

// nextTerm returns where the term at or after pos begins and ends; they are equal after the last one.
func nextTerm(text string, pos int) (begin, end int) {
	for pos < len(text) && text[pos] == ' ' {
		pos++
	}
	if n := strings.IndexByte(text[pos:], ' '); n >= 0 {
		return pos, pos + n
	}
	return pos, len(text)
}

// All returns the directives in order. Those that are not in Directives are parsed again each time.
func (r *Record) All() iter.Seq[*Directive] {
	return func(yield func(*Directive) bool) {
		for i := range r.Directives {
			if !yield(&r.Directives[i]) {
				return
			}
		}
		for pos := r.rest; pos > 0; {
			begin, end := nextTerm(r.Text, pos)
			if begin == end {
				return
			}
			again := Record{Text: r.Text}
			d, err := again.term(r.Text[begin:end], begin)
			if err == nil && d.Mechanism != "" && !yield(&d) {
				return
			}
			pos = end
		}
	}
}

// term parses one term. It is a modifier when "=" is the first octet that no modifier's
// name holds (RFC 7208 §4.6.1); the Directive is empty then.
func (r *Record) term(s string, offset int) (Directive, error) {
	n := 0
	for n < len(s) && (IsAlnum(s[n]) || n > 0 && strings.IndexByte("-_.", s[n]) >= 0) {
		n++
	}
	if n > 0 && n < len(s) && s[n] == '=' && isAlpha(s[0]) {
		return Directive{}, r.modifier(s, n, offset)
	}
	d, err := parseDirective(s, offset)
	r.HasAll = r.HasAll || d.Mechanism == All
	return d, err
}

func (r *Record) modifier(s string, equals, offset int) error {
	m := Modifier{Name: strings.ToLower(s[:equals]), Text: s, Offset: offset}
	known := map[string]**Modifier{"redirect": &r.Redirect, "exp": &r.Exp}[m.Name]
	var err error
	if known == nil {
		m.Value, err = parseMacros(s[equals+1:], offset+equals+1, inUnknown)
	} else {
		m.Value, err = parseDomainSpec(s[equals+1:], offset+equals+1)
	}
	switch {
	case err != nil:
		return err
	case known == nil:
		r.Unknown = append(r.Unknown, m)
	case *known != nil:
		return &SyntaxError{offset, DuplicateModifier, m.Name + " occurs twice"}
	default:
		*known = &m
	}
	return nil
}

func parseDirective(s string, offset int) (Directive, error) {
	d := Directive{Qualifier: Pass, Bits4: 32, Bits6: 128, Offset: offset}
	start := offset
	switch s[0] {
	case '+', '-', '~', '?':
		d.Qualifier = map[byte]Code{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}[s[0]]
		s, start = s[1:], start+1
	}
	d.Text = s
	n := 0
	for n < len(s) && s[n] != ':' && s[n] != '/' {
		n++
	}
	d.Mechanism = Mechanism(strings.ToLower(s[:n]))
	return d, d.arguments(s[n:], start+n)
}

// arguments parses what follows the name: nothing, or ":" and a value, or "/" and a
// prefix length.
func (d *Directive) arguments(s string, offset int) error {
	switch d.Mechanism {
	case All:
		if s != "" {
			return &SyntaxError{offset, BadTerm, "all takes no value"}
		}
		return nil
	case Include, Exists, PTR:
		if s == "" && d.Mechanism == PTR {
			return nil
		}
		return d.target(s, offset)
	case IP4, IP6:
		return d.address(s, offset)
	case A, MX:
		return d.dualCIDR(s, offset)
	}
	return &SyntaxError{d.Offset, UnknownMechanism, "unknown mechanism " + reason.Quote(string(d.Mechanism))}
}

func (d *Directive) target(s string, offset int) error {
	if s == "" || s[0] != ':' {
		return &SyntaxError{offset, BadDomainSpec, string(d.Mechanism) + ` needs ":" and a domain`}
	}
	var err error
	d.Target, err = parseDomainSpec(s[1:], offset+1)
	return err
}

// dualCIDR takes the prefix lengths off the end: a domain-spec cannot end like one.
func (d *Directive) dualCIDR(s string, offset int) error {
	rest := s
	if i := trailingNumber(rest); i > 1 && rest[i-1] == '/' && rest[i-2] == '/' {
		bits, ok := prefixLength(rest[i:], 128)
		if !ok {
			return &SyntaxError{offset + i, BadPrefix, "the IPv6 prefix length is not 0 to 128"}
		}
		d.Bits6, rest = bits, rest[:i-2]
	}
	if i := trailingNumber(rest); i > 0 && rest[i-1] == '/' {
		bits, ok := prefixLength(rest[i:], 32)
		if !ok {
			return &SyntaxError{offset + i, BadPrefix, "the IPv4 prefix length is not 0 to 32"}
		}
		d.Bits4, rest = bits, rest[:i-1]
	}
	if rest == "" {
		return nil
	}
	if rest[0] == '/' {
		return &SyntaxError{offset, BadPrefix, "prefix length without a number"}
	}
	return d.target(rest, offset)
}

// trailingNumber returns where the digits at the end of s begin, 0 when it has none.
func trailingNumber(s string) int {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == len(s) {
		return 0
	}
	return i
}

func prefixLength(s string, most int) (int, bool) {
	if len(s) == 0 || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= most && isDigit(s[0])
}

func (d *Directive) address(s string, offset int) error {
	if s == "" || s[0] != ':' {
		return &SyntaxError{offset, BadAddress, string(d.Mechanism) + ` needs ":" and an address`}
	}
	text, length, hasLength := strings.Cut(s[1:], "/")
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4() != (d.Mechanism == IP4) {
		return &SyntaxError{offset + 1, BadAddress, reason.Quote(text) + " is not an " + map[Mechanism]string{IP4: "IPv4", IP6: "IPv6"}[d.Mechanism] + " address"}
	}
	bits := ip.BitLen()
	if hasLength {
		var ok bool
		if bits, ok = prefixLength(length, ip.BitLen()); !ok {
			return &SyntaxError{offset + 2 + len(text), BadPrefix, fmt.Sprintf("the prefix length is not 0 to %d", ip.BitLen())}
		}
	}
	d.Prefix = netip.PrefixFrom(ip, bits).Masked()
	return nil
}

// Lookups reports whether evaluating the directive costs one of the ten lookups (RFC 7208
// §4.6.4).
func (d *Directive) Lookups() bool {
	switch d.Mechanism {
	case All, IP4, IP6:
		return false
	}
	return true
}

// Written is the directive as it stands in the record.
func (d *Directive) Written(r *Record) string {
	if c := r.Text[d.Offset]; c == '+' || c == '-' || c == '~' || c == '?' {
		return string(c) + d.Text
	}
	return d.Text
}

// HostBits reports whether the address as written is not the first of its range.
func (d *Directive) HostBits() bool {
	_, text, _ := strings.Cut(d.Text, ":")
	p, err := netip.ParsePrefix(text)
	return err == nil && p != p.Masked()
}

// StaticTarget returns the domain that the directive looks up, in a record at name. ok is false if
// it has macros.
func (d *Directive) StaticTarget(name string) (target string, ok bool) {
	if d.Target == nil {
		return name, true
	}
	s, ok := d.Target.Static()
	return TruncateName(s), ok
}

// Contains reports whether ip is in the range that the prefix lengths make of addr (RFC 7208 §5).
func (d *Directive) Contains(addr, ip netip.Addr) bool {
	bits := d.Bits6
	if ip.Is4() {
		bits = d.Bits4
	}
	p, err := addr.Prefix(bits)
	return err == nil && p.Contains(ip)
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// IsAlnum reports whether c is a letter or a digit.
func IsAlnum(c byte) bool { return isAlpha(c) || isDigit(c) }
