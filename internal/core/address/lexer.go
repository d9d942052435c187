package address

import "bytes"

// peek returns the next octet; 0 at the end, which lexical has kept out of the input.
func (p *addressParser) peek() (c byte, ok bool) {
	if p.pos >= len(p.in) {
		return 0, false
	}
	return p.in[p.pos], true
}

// cfws skips comments and folding white space (RFC 5322 §3.2.2). Nested comments are
// counted, not recursed into.
func (p *addressParser) cfws() bool {
	depth := 0
	start := p.pos
	for ; p.pos < len(p.in); p.pos++ {
		switch c := p.in[p.pos]; {
		case c == '(':
			if depth == 0 {
				start = p.pos
			}
			depth++
		case depth == 0:
			if !isBlank(c) && c != '\r' && c != '\n' {
				return true
			}
		case c == ')':
			depth--
		case c == '\\':
			if !p.quotedPair() {
				return false
			}
		}
	}
	if depth > 0 {
		p.pos = start
		return p.fail("comment is not closed")
	}
	return true
}

// quotedPair steps on the octet after a backslash (§3.2.1).
func (p *addressParser) quotedPair() bool {
	p.pos++
	if c, ok := p.peek(); !ok || c == '\r' || c == '\n' {
		return p.fail("backslash before nothing")
	}
	return true
}

// word appends the next word, an atom or a quoted-string that begins with c, to
// p.local.
func (p *addressParser) word(c byte) bool {
	if c == '"' {
		return p.quotedString()
	}
	start := p.pos
	if n := encodedWord(p.in[p.pos:]); n > 0 {
		p.pos += n
	} else {
		for p.pos < len(p.in) && isAtext(p.in[p.pos]) {
			p.pos++
		}
	}
	p.local = append(p.local, p.in[start:p.pos]...)
	return true
}

// quotedString appends the content of a quoted-string (§3.2.4), without its folds.
func (p *addressParser) quotedString() bool {
	start := p.pos
	for p.pos++; p.pos < len(p.in); p.pos++ {
		switch p.in[p.pos] {
		case '"':
			p.pos++
			return true
		case '\\':
			if !p.quotedPair() {
				return false
			}
		case '\r', '\n':
			continue
		}
		p.local = append(p.local, p.in[p.pos])
	}
	p.pos = start
	return p.fail("quoted string is not closed")
}

// encodedWord returns the length of the encoded word that in begins with, or 0. RFC 2047 §5
// allows no specials in the one of a display name; many senders leave the punctuation that
// cannot change where an address lies. What could is not an encoded word.
func encodedWord(in []byte) int {
	const most = maxWord
	if !bytes.HasPrefix(in, []byte("=?")) {
		return 0
	}
	in = in[:min(len(in), most)]
	marks := 0 // question marks after the charset and the encoding
	for i := 2; i < len(in); i++ {
		switch c := in[i]; {
		case c == '?' && marks < 2:
			marks++
		case c == '?':
			if i+1 < len(in) && in[i+1] == '=' {
				return i + 2
			}
			return 0
		case isAtext(c):
		case marks == 2 && bytes.IndexByte([]byte(",.:;[]"), c) >= 0:
		default:
			return 0
		}
	}
	return 0
}

// maxWord is the longest encoded word that is looked at: a line has no more (RFC 5322 §2.1.1).
const maxWord = 998

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isAtext is atext of §3.2.3 with the octets of UTF-8 (RFC 6532 §3.2).
func isAtext(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c >= 0x80:
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return false
}
