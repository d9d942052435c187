// Package dmarcrecord reads DMARC Policy Records, with the leniency of RFC 9989 §4.8, and says what is
// wrong with their text.
package dmarcrecord

import "strings"

// PSD is the value of the psd tag (RFC 9989 §4.7).
type PSD string

// A record of a public suffix, of an Organizational Domain, of either.
const (
	PSDYes     PSD = "y"
	PSDNo      PSD = "n"
	PSDUnknown PSD = "u"
)

// Mode is an alignment mode (RFC 9989 §3.2.10).
type Mode string

// The alignment modes.
const (
	Relaxed Mode = "r"
	Strict  Mode = "s"
)

// Tags holds the tags of a record as a dmarc.Published does: defaults filled in, an absent sp or np
// empty.
type Tags struct{ P, SP, NP, T, PSD, ADKIM, ASPF string }

// Record is a DMARC Policy Record after the leniency of RFC 9989 §4.8: invalid values
// have given way to defaults. It is shared between callers: read only.
type Record struct {
	Text  string // as published, character-strings joined
	P     Policy // empty: absent or invalid
	SP    Policy // empty: absent or invalid
	NP    Policy // empty: absent or invalid
	PSD   PSD
	ADKIM Mode
	ASPF  Mode
	Test  bool     // t=y
	FO    string   // colon-separated, lower case; "0" by default
	RUA   []string // syntactically valid URIs, size suffix removed
	RUF   []string // syntactically valid URIs, size suffix removed

	broken bool // p absent or invalid, or sp or np invalid (RFC 9989 §4.10.1)
}

// Parse reads the text of one TXT record. ok is false when it is not a DMARC Policy Record: the
// first tag must be v=DMARC1, in this case of letters (RFC 9989 §4.7). Later errors are never
// fatal (§4.8); Lint finds them.
func Parse(text string) (r *Record, ok bool) {
	tags, ok := split(text)
	if !ok {
		return nil, false
	}
	r = &Record{Text: text, PSD: PSDUnknown, ADKIM: Relaxed, ASPF: Relaxed, FO: "0"}
	var seen tagSet
	for tags.next() {
		// RFC 9989 §4.7 refers to DKIM's syntax, where a repeated tag spoils the list;
		// §4.8 ignores errors. The first one wins, so that nothing appended can override.
		id := tagID(tags.tag.name)
		if (id == tagSP || id == tagNP) && tags.tag.value == "" {
			continue // counts as absent: it asks for nothing
		}
		if id != 0 && tags.tag.equals && !seen.has(id) {
			seen.add(id)
			r.set(id, tags.tag.value)
		}
	}
	if !seen.has(tagRUF) {
		r.FO = "0" // §4.7: ignored without ruf
	}
	r.broken = r.P == "" || seen.has(tagSP) && r.SP == "" || seen.has(tagNP) && r.NP == ""
	return r, true
}

func (r *Record) set(id tagSet, value string) {
	switch id {
	case tagP:
		r.P = policy(value)
	case tagSP:
		r.SP = policy(value)
	case tagNP:
		r.NP = policy(value)
	case tagPSD:
		switch lower(value) {
		case "y":
			r.PSD = PSDYes
		case "n":
			r.PSD = PSDNo
		}
	case tagADKIM:
		r.ADKIM = mode(value)
	case tagASPF:
		r.ASPF = mode(value)
	case tagT:
		r.Test = lower(value) == "y"
	case tagFO:
		if fo, ok := failureOptions(value); ok {
			r.FO = fo
		}
	case tagRUA:
		r.RUA = uris(value)
	case tagRUF:
		r.RUF = uris(value)
	}
}

// Usable reports whether the record can be applied: it has a valid p and no invalid sp
// or np, or else a reporting URI, with which it acts as p=none (RFC 9989 §4.10.1).
func (r *Record) Usable() bool { return !r.broken || len(r.RUA) > 0 }

// Published returns the tags as they count: a record with an invalid p, sp or np stands
// for p=none when Usable, else for nothing.
func (r *Record) Published() Tags {
	p := Tags{P: string(r.P), SP: string(r.SP), NP: string(r.NP), T: "n", PSD: string(r.PSD), ADKIM: string(r.ADKIM), ASPF: string(r.ASPF)}
	if r.Test {
		p.T = "y"
	}
	if r.broken {
		p.P, p.SP, p.NP = "", "", ""
		if r.Usable() {
			p.P = string(PolicyNone)
		}
	}
	return p
}

// FailureURIs returns where failure reports may go: nowhere for a public suffix (RFC
// 9991 §2).
func (r *Record) FailureURIs() []string {
	if r.PSD == PSDYes {
		return nil
	}
	return r.RUF
}

// Own returns the policy for the domain of the record, before t (RFC 9989 §4.10.1).
func (r *Record) Own() Policy {
	if r.broken {
		return PolicyNone
	}
	return r.P
}

// Existing returns the policy for an existing name below it, before t.
func (r *Record) Existing() Policy {
	if r.broken || r.SP == "" {
		return r.Own()
	}
	return r.SP
}

// Missing returns the policy for a name below it that does not exist, before t.
func (r *Record) Missing() Policy {
	if r.broken || r.NP == "" {
		return r.Existing()
	}
	return r.NP
}

// Effective lowers p by one level in test mode (RFC 9989 §4.7, tag t).
func (r *Record) Effective(p Policy) (effective Policy, lowered bool) {
	if !r.Test {
		return p, false
	}
	switch p {
	case PolicyReject:
		return PolicyQuarantine, true
	case PolicyQuarantine:
		return PolicyNone, true
	}
	return p, false
}

func policy(value string) Policy {
	switch p := Policy(lower(value)); p {
	case PolicyNone, PolicyQuarantine, PolicyReject:
		return p
	}
	return ""
}

func mode(value string) Mode {
	if lower(value) == "s" {
		return Strict
	}
	return Relaxed
}

// failureOptions reads fo: a list of 0, 1, d and s. RFC 7489 allowed any, RFC 9989 §4.8
// only one of 0 and 1; both are taken.
func failureOptions(value string) (string, bool) {
	value = lower(value)
	for rest, more := value, true; more; {
		var o string
		o, rest, more = strings.Cut(rest, ":")
		switch trim(o) {
		case "0", "1", "d", "s":
		default:
			return "", false
		}
	}
	return strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' {
			return -1
		}
		return c
	}, value), true
}

// maxURIs bounds the reporting URIs that are kept of one tag.
const maxURIs = 32

// uris returns the valid URIs of a comma-separated list; an invalid one is ignored.
func uris(value string) []string {
	var list []string
	for more := true; more && len(list) < maxURIs; {
		var s string
		s, value, more = strings.Cut(value, ",")
		if u, _, ok := uri(trim(s)); ok {
			list = append(list, u)
		}
	}
	return list
}

// uri checks dmarc-uri and drops an obsolete size suffix (RFC 9989 §4.8).
func uri(s string) (u string, sized, ok bool) {
	u, size, sized := strings.Cut(s, "!")
	if sized && !isSize(size) {
		return "", true, false
	}
	scheme, rest, ok := strings.Cut(u, ":")
	if !ok || rest == "" || !isScheme(scheme) {
		return "", sized, false
	}
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '%' && (i+2 >= len(rest) || !isHex(rest[i+1]) || !isHex(rest[i+2])) {
			return "", sized, false
		}
		if c != '%' && !isAlnum(c) && strings.IndexByte("-._~:/?#[]@$&'()*+;=", c) < 0 {
			return "", sized, false
		}
	}
	if lower(scheme) == "mailto" {
		at := strings.LastIndexByte(rest, '@')
		if at <= 0 || at == len(rest)-1 {
			return "", sized, false
		}
	}
	return u, sized, true
}

func isSize(s string) bool {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n > 0 && (n == len(s) || n == len(s)-1 && strings.IndexByte("kmgtKMGT", s[n]) >= 0)
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && (i == 0 || strings.IndexByte("+-.", s[i]) < 0) || i == 0 && s[0] <= '9' {
			return false
		}
	}
	return s != ""
}

func isHex(c byte) bool   { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }
