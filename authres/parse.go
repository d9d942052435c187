package authres

import (
	"fmt"
	"strconv"
	"strings"
)

// SyntaxError says where a field follows no rule of RFC 8601 §2.2.
type SyntaxError struct {
	Offset int
	Msg    string
}

// Error names the octet and what is wrong there.
func (e *SyntaxError) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

// Bounds of what is read.
const (
	maxNesting    = 32
	maxResults    = 200
	maxProperties = 100
)

// Parse reads the body of an Authentication-Results field. Comments are passed over: what
// stands in one, or in quotes, is no result. The error is a *SyntaxError; the Field then
// holds what came before it, the AuthservID above all.
func Parse(body []byte) (Field, error) {
	p := &parser{s: string(body)}
	f := Field{}
	if !p.cfws() {
		return f, p.fail("comment without an end")
	}
	id, ok := p.value()
	if !ok {
		return f, p.fail("no authserv-id")
	}
	f.AuthservID = id
	if !p.cfws() {
		return f, p.fail("comment without an end")
	}
	if v, ok := p.number(); ok {
		f.Version = v
		if !p.cfws() {
			return f, p.fail("comment without an end")
		}
	}
	if p.pos == len(p.s) { // RFC 8601 wants a result or "none"; a field without is seen often
		return f, nil
	}
	for p.pos < len(p.s) {
		done, err := p.result(&f)
		if err != nil || done {
			return f, err
		}
	}
	return f, nil
}

type parser struct {
	s   string
	pos int
}

func (p *parser) fail(msg string) error { return &SyntaxError{p.pos, msg} }

// result reads ";" and one resinfo, or "none", or the end after a trailing ";".
func (p *parser) result(f *Field) (done bool, err error) {
	if !p.byte(';') {
		return false, p.fail(`no ";"`)
	}
	if !p.cfws() {
		return false, p.fail("comment without an end")
	}
	if p.pos == len(p.s) {
		return true, nil
	}
	if len(f.Results) == maxResults {
		return false, p.fail("too many results")
	}
	r := Result{Method: strings.ToLower(p.keyword())}
	if r.Method == "" {
		return false, p.fail("no method")
	}
	p.cfws()
	if r.Method == "none" && (p.pos == len(p.s) || p.s[p.pos] == ';') {
		return false, nil
	}
	if err := p.methodResult(&r); err != nil {
		return false, err
	}
	for n := 0; ; n++ {
		if !p.cfws() {
			return false, p.fail("comment without an end")
		}
		if p.pos == len(p.s) || p.s[p.pos] == ';' {
			f.Results = append(f.Results, r)
			return p.pos == len(p.s), nil
		}
		if n == maxProperties {
			return false, p.fail("too many properties")
		}
		if err := p.property(&r); err != nil {
			return false, err
		}
	}
}

func (p *parser) methodResult(r *Result) error {
	if p.byte('/') {
		p.cfws()
		v, ok := p.number()
		if !ok {
			return p.fail("no version of a method")
		}
		r.Version = v
		p.cfws()
	}
	if !p.byte('=') {
		return p.fail(`no "=" behind a method`)
	}
	p.cfws()
	if r.Value = strings.ToLower(p.keyword()); r.Value == "" {
		return p.fail("no result word")
	}
	return nil
}

// property reads reason=value, or ptype.property=pvalue.
func (p *parser) property(r *Result) error {
	first := p.keyword()
	if first == "" {
		return p.fail("no property")
	}
	p.cfws()
	second := ""
	if p.byte('.') {
		p.cfws()
		if second = p.keyword(); second == "" {
			return p.fail("no property behind a type")
		}
		p.cfws()
	}
	if !p.byte('=') {
		return p.fail(`no "=" behind a property`)
	}
	p.cfws()
	v, ok := p.propertyValue()
	switch {
	case !ok:
		return p.fail("no value")
	case second != "":
		r.Properties = append(r.Properties, Property{strings.ToLower(first), strings.ToLower(second), v})
	case strings.EqualFold(first, "reason"):
		r.Reason = v
	default:
		return p.fail("a property without a type")
	}
	return nil
}

func (p *parser) byte(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// cfws passes white space, folds and comments, nested ones too. It reports whether all
// comments end.
func (p *parser) cfws() bool {
	depth := 0
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case c == '(':
			if depth++; depth > maxNesting {
				return false
			}
		case depth > 0 && c == ')':
			depth--
		case depth > 0 && c == '\\':
			p.pos++
		case depth > 0, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			return true
		}
		p.pos++
	}
	p.pos = len(p.s)
	return depth == 0
}

func (p *parser) keyword() string {
	start := p.pos
	for p.pos < len(p.s) && (isAlnum(p.s[p.pos]) || p.s[p.pos] == '-' || p.s[p.pos] == '_') {
		p.pos++
	}
	return p.s[start:p.pos]
}

func (p *parser) number() (int, bool) {
	start := p.pos
	for p.pos < len(p.s) && p.s[p.pos] >= '0' && p.s[p.pos] <= '9' {
		p.pos++
	}
	n, err := strconv.Atoi(p.s[start:min(p.pos, start+9)])
	return n, err == nil
}

// value is a token or a quoted-string.
func (p *parser) value() (string, bool) {
	if p.pos < len(p.s) && p.s[p.pos] == '"' {
		return p.quoted()
	}
	start := p.pos
	for p.pos < len(p.s) && (p.s[p.pos] >= 0x80 || isToken(p.s[p.pos:p.pos+1])) {
		p.pos++
	}
	return p.s[start:p.pos], p.pos > start
}

func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; c {
		case '"':
			p.pos++
			return b.String(), true
		case '\\':
			if p.pos++; p.pos < len(p.s) {
				b.WriteByte(p.s[p.pos])
			}
		case '\r', '\n':
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// propertyValue is a value, or [local-part] "@" domain. Values that others write without
// the quotes they need, such as an IPv6 address, are read up to white space or ";".
func (p *parser) propertyValue() (string, bool) {
	local := ""
	if p.pos < len(p.s) && p.s[p.pos] == '"' {
		v, ok := p.quoted()
		if !ok || p.pos == len(p.s) || p.s[p.pos] != '@' {
			return v, ok
		}
		local = v
	}
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n;()\"", p.s[p.pos]) < 0 {
		p.pos++
	}
	return local + p.s[start:p.pos], p.pos > start
}
