package authres

import "strings"

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// isTokenChar is a character of a token: no white space, control, or tspecial (RFC 2045
// §5.1).
func isTokenChar(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '/', '[', ']', '?', '=':
		return false
	}
	return c > 0x20 && c < 0x7f
}

func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// isKeyword is a Keyword (RFC 5321 §4.1.2); others write the underscore too.
func isKeyword(s string) bool {
	for i := range len(s) {
		if !isKeywordChar(s[i]) {
			return false
		}
	}
	return s != ""
}

func isKeywordChar(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

// isDotAtom is the dot-atom-text of RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	last := byte('.')
	for i := range len(s) {
		c := s[i]
		if c == '.' && last == '.' || c != '.' && !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
			return false
		}
		last = c
	}
	return last != '.'
}

// isHostName is a domain-name of letters, digits, "-" and "_" (RFC 6376 §3.5; the
// underscore is seen in what is signed).
func isHostName(s string) bool {
	last := byte('.')
	for i := range len(s) {
		c := s[i]
		if c == '.' && last == '.' || c != '.' && c != '-' && c != '_' && !isAlnum(c) {
			return false
		}
		last = c
	}
	return last != '.'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
