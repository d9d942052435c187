package authres

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError says where a field follows no rule of RFC 8601 §2.2.
type SyntaxError struct {
	Offset int // octet in the body, 0 is the first
	Msg    string
}

// Error names the octet and what is wrong there.
func (e *SyntaxError) Error() string { return "octet " + strconv.Itoa(e.Offset) + ": " + e.Msg }

// Bounds of what is read.
const (
	maxLength     = 64 << 10
	maxNesting    = 32
	maxResults    = 200
	maxProperties = 100
	maxVersion    = 999_999
)

// Parse reads the body of an Authentication-Results field (RFC 8601 §2.2). What stands in a
// comment, or in quotes, is not a result. Of comments only the first after each result word is
// kept.
//
// What others write is read too: a field that ends after its authserv-id or after a ";", a
// value that lacks the quotes it needs or is missing, and, skipped, a pair without a ptype such
// as action=none or envelope-from=a@example.com; the method gateway.spf of Gmail; pairs after
// the authserv-id (Yahoo), and an authserv-id between the results (Outlook). The error is a
// *SyntaxError; the Field then holds what came before it.
func Parse(body []byte) (Field, error) {
	f, _, err := parse(body)
	return f, err
}

// parse also returns every authserv-id that a field names in the place of a result.
func parse(body []byte) (f Field, ids []string, err error) {
	if len(body) > maxLength {
		return Field{}, nil, &SyntaxError{maxLength, "field too long"}
	}
	p := &scanner{s: string(body)}
	p.identity(&f)
	late := f.AuthservID == "" && p.bad == nil // Outlook names itself between the results
	for n := 0; !p.end(); n++ {
		if n == maxResults {
			p.fail(p.pos, "too many results")
			break
		}
		p.take(';') // identity and result stop nowhere else
		if p.cfws(); p.end() {
			break
		}
		start := p.pos
		if id := p.lateIdentity(); late && id != "" {
			ids = append(ids, id)
			continue
		}
		r := Result{Method: strings.ToLower(p.method())}
		if p.cfws(); r.Method == "none" && p.bad == nil && (p.end() || p.peek() == ';') {
			p.noResult(start, n)
			break
		}
		if p.result(&r); p.bad == nil && r.Value != "" {
			f.Results = append(f.Results, r)
		}
	}
	if late && len(ids) == 0 {
		p.fail(0, "no authserv-id")
	} else if late {
		f.AuthservID = ids[0]
	}
	if p.bad != nil {
		return f, ids, p.bad
	}
	return f, ids, nil
}

// lateIdentity reads a host name that stands where a result should, "" when it is something
// else.
func (p *scanner) lateIdentity() string {
	start := p.pos
	if p.peek() != '"' {
		id, _ := p.value()
		if p.cfws(); (p.end() || p.peek() == ';') && p.bad == nil && strings.Contains(id, ".") {
			return id
		}
	}
	if p.bad == nil {
		p.pos = start
	}
	return ""
}

// identity reads authserv-id and version, up to the ";" or the end.
func (p *scanner) identity(f *Field) {
	p.cfws()
	start := p.pos
	id, ok := p.value()
	if !ok || id == "" {
		p.fail(start, "no authserv-id")
		return
	}
	if !utf8.ValidString(id) {
		p.fail(start, "authserv-id is not UTF-8")
		return
	}
	quoted := p.s[start] == '"'
	spaced := p.cfws()
	if p.peek() == '=' && !quoted { // a result: see lateIdentity
		p.pos = start
		return
	}
	f.AuthservID = id
	for n := 0; spaced && n < maxProperties && (p.peek()|0x20 >= 'a' && p.peek()|0x20 <= 'z'); n++ { // Yahoo: from=example.com
		p.property(&Result{})
		p.cfws()
	}
	if spaced && !p.end() && p.peek() != ';' {
		f.Version = p.number()
		p.cfws()
	}
	if !p.end() && p.peek() != ';' {
		p.fail(p.pos, `no ";" after the authserv-id`)
	}
}

// method reads a method. Gmail writes gateway.spf for the SPF of a gateway of the recipient.
func (p *scanner) method() string {
	start := p.pos
	p.keyword()
	if p.take('.') && p.keyword() == "" {
		p.fail(p.pos, "no method after a dot")
	}
	return p.s[start:p.pos]
}

// noResult reads what may follow "none", which is n-th and began at start.
func (p *scanner) noResult(start, n int) {
	p.take(';')
	if p.cfws(); n > 0 || !p.end() {
		p.fail(start, `"none" together with results`)
	}
}

// result reads what follows a method, up to the ";" or the end. A pair whose value is not a
// word is not a result: r.Value stays empty.
func (p *scanner) result(r *Result) {
	if r.Method == "" {
		p.fail(p.pos, "no method")
		return
	}
	if p.take('/') {
		p.cfws()
		r.Version = p.number()
		p.cfws()
	}
	if !p.take('=') {
		p.fail(p.pos, `no "=" after a method`)
		return
	}
	p.cfws()
	start := p.pos
	value, _ := p.propertyValue()
	if value == "" {
		p.fail(start, "no result word")
		return
	}
	switch {
	case p.s[start] == '"':
	case strings.Trim(value, "._-") == "":
		p.fail(start, "no result word")
		return
	case isKeyword(value):
		r.Value = strings.ToLower(value)
	}
	p.cfws()
	r.Comment = text(p.comment)
	for n := 0; !p.end() && p.peek() != ';'; n++ {
		if n > maxProperties {
			p.fail(p.pos, "too many properties")
			return
		}
		p.property(r)
		p.cfws()
	}
}

// property reads reason=value, or ptype.property=pvalue.
func (p *scanner) property(r *Result) {
	start := p.pos
	kind, name := p.keyword(), ""
	if kind == "" {
		p.fail(start, "no property")
		return
	}
	p.cfws()
	if p.take('.') {
		p.cfws()
		if name = p.keyword(); name == "" {
			p.fail(p.pos, "no property after a type")
			return
		}
		p.cfws()
	}
	if !p.take('=') {
		p.fail(p.pos, `no "=" after a property`)
		return
	}
	p.cfws()
	v, ok := p.propertyValue()
	switch {
	case !ok && !p.end() && p.peek() != ';':
		p.fail(p.pos, "no value")
	case name != "":
		r.Properties = append(r.Properties, Property{strings.ToLower(kind), strings.ToLower(name), v})
	case strings.EqualFold(kind, "reason") && r.Reason == "":
		r.Reason = v
	}
}
