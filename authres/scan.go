package authres

import "strings"

// scanner reads the lexical parts of a field body. The first failure stays in bad, and
// everything after it fails too.
type scanner struct {
	s       string
	pos     int
	bad     *SyntaxError
	comment string // the first comment that the last cfws passed, with its parentheses
}

func (p *scanner) fail(at int, msg string) {
	if p.bad == nil {
		p.bad = &SyntaxError{at, msg}
	}
	p.pos = len(p.s)
}

// end reports whether nothing is left, or nothing can be read any more.
func (p *scanner) end() bool { return p.pos >= len(p.s) }

// peek is the next octet, 0 at the end.
func (p *scanner) peek() byte {
	if p.end() {
		return 0
	}
	return p.s[p.pos]
}

func (p *scanner) take(c byte) bool {
	if !p.end() && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// space passes one octet of white space or one line ending that folds (RFC 5322 §3.2.2). A line
// ending may have lost its CR: some MTAs hand fields over so.
func (p *scanner) space() bool {
	switch p.peek() {
	case ' ', '\t':
		p.pos++
		return true
	case '\r', '\n':
		rest, _ := strings.CutPrefix(p.s[p.pos:], "\r")
		if len(rest) > 1 && rest[0] == '\n' && (rest[1] == ' ' || rest[1] == '\t') {
			p.pos = len(p.s) - len(rest) + 1
			return true
		}
		p.fail(p.pos, "line ending that is not a fold")
	}
	return false
}

// cfws passes white space and comments, nested ones too (RFC 5322 §3.2.2), and reports
// whether there was any.
func (p *scanner) cfws() bool {
	start := p.pos
	p.comment = ""
	for !p.end() {
		switch {
		case p.space():
		case p.peek() == '(':
			from := p.pos
			p.skipComment()
			if p.comment == "" && p.bad == nil {
				p.comment = p.s[from:p.pos]
			}
		default:
			return p.pos > start
		}
	}
	return p.pos > start
}

func (p *scanner) skipComment() {
	start, depth := p.pos, 0
	for !p.end() {
		switch c := p.s[p.pos]; {
		case c == '(':
			if depth++; depth > maxNesting {
				p.fail(p.pos, "comments nested too deep")
				return
			}
			p.pos++
		case c == ')':
			p.pos++
			if depth--; depth == 0 {
				return
			}
		case c == '\\':
			p.quotedPair()
		case p.space():
		case isControl(c):
			p.fail(p.pos, "control character in a comment")
		default:
			p.pos++
		}
	}
	p.fail(start, "comment without an end")
}

func isControl(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f }

// quotedPair reads "\" and the octet after it (RFC 5322 §3.2.1).
func (p *scanner) quotedPair() byte {
	if p.pos+1 >= len(p.s) || isControl(p.s[p.pos+1]) {
		p.fail(p.pos, `"\" before nothing that can be quoted`)
		return 0
	}
	p.pos += 2
	return p.s[p.pos-1]
}

// keyword reads a Keyword: see isKeyword.
func (p *scanner) keyword() string {
	start := p.pos
	for !p.end() && isKeywordChar(p.s[p.pos]) {
		p.pos++
	}
	return p.s[start:p.pos]
}

// number reads a version: 1*DIGIT that is not zero.
func (p *scanner) number() int {
	start, n := p.pos, 0
	for ; !p.end() && p.s[p.pos] >= '0' && p.s[p.pos] <= '9'; p.pos++ {
		if n = n*10 + int(p.s[p.pos]-'0'); n > maxVersion {
			p.fail(start, "no such version")
			return 0
		}
	}
	if n == 0 {
		p.fail(start, "no version")
	}
	return n
}

// value reads a token or a quoted-string; what is not ASCII may stand in both (RFC 6532
// §3.2).
func (p *scanner) value() (string, bool) {
	if p.peek() == '"' {
		return p.quoted()
	}
	start := p.pos
	for !p.end() && (p.s[p.pos] >= 0x80 || isTokenChar(p.s[p.pos])) {
		p.pos++
	}
	return p.s[start:p.pos], p.pos > start
}

// quoted reads a quoted-string (RFC 5322 §3.2.4): a fold in it is dropped, its white space
// stays.
func (p *scanner) quoted() (string, bool) {
	start := p.pos
	p.pos++
	var b []byte
	for !p.end() {
		switch c := p.s[p.pos]; {
		case c == '"':
			p.pos++
			return string(b), true
		case c == '\\':
			b = append(b, p.quotedPair())
		case c == '\r', c == '\n':
			p.space()
		case isControl(c):
			p.fail(p.pos, "control character in quotes")
		default:
			b = append(b, c)
			p.pos++
		}
	}
	p.fail(start, "quotes without an end")
	return "", false
}

// propertyValue reads a value, or [local-part] "@" domain-name. Values that others write
// without the quotes they need, such as an IPv6 address or base64, are read up to white
// space, ";" or what could begin a comment or quotes.
func (p *scanner) propertyValue() (string, bool) {
	local := ""
	if p.peek() == '"' {
		v, ok := p.quoted()
		if !ok || p.peek() != '@' {
			return v, ok
		}
		local = v
	}
	start := p.pos
	for !p.end() && strings.IndexByte(" ;()\"\\", p.s[p.pos]) < 0 && p.s[p.pos] > 0x20 && p.s[p.pos] != 0x7f {
		p.pos++
	}
	return local + p.s[start:p.pos], p.pos > start
}

// text is what a comment says: without its parentheses and quoted pairs, each run of white
// space one space.
func text(comment string) string {
	if len(comment) < 2 {
		return ""
	}
	comment = comment[1 : len(comment)-1]
	if strings.IndexByte(comment, '\\') >= 0 {
		b := make([]byte, 0, len(comment))
		for i := 0; i < len(comment); i++ {
			if comment[i] == '\\' && i+1 < len(comment) {
				i++
			}
			b = append(b, comment[i])
		}
		comment = string(b)
	}
	return strings.Join(strings.Fields(comment), " ")
}
