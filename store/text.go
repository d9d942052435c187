package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"postseal/domain"
)

// MaxText bounds each text of a row, in octets.
const MaxText = 255

// Clean makes untrusted text fit for a row: valid UTF-8, no control characters, at most
// MaxText octets. What does not fit is replaced by U+FFFD or cut.
func Clean(s string) string { return clean(s, MaxText) }

func clean(s string, most int) string {
	if isPlain(s) && len(s) <= most {
		return s
	}
	if len(s) > 4*most {
		s = s[:4*most]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Domain makes an untrusted domain name fit for a row: A-labels in lower case without a
// trailing dot where it is a domain name, else as Clean returns it, in lower case.
func Domain(s string) string {
	if name, err := domain.Parse(s); err == nil {
		return string(name)
	}
	return strings.ToLower(Clean(s))
}

// mailDomain returns the domain of a reverse-path, "<>" for the null path. A path without a
// domain has none: what is left of it would be a local part.
func mailDomain(path string) string {
	if path == "" {
		return "<>"
	}
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return ""
	}
	return Domain(path[at+1:])
}

// crockford are the digits of a reference (package postseal, Report.Ref).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// RefNumber reads a reference of eight characters, with or without its dash, in any case.
func RefNumber(ref string) (n int64, ok bool) {
	ref = strings.ReplaceAll(ref, "-", "")
	if len(ref) != 8 {
		return 0, false
	}
	for i := range len(ref) {
		c := ref[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		d := strings.IndexByte(crockford, c)
		if d < 0 {
			return 0, false
		}
		n = n<<5 | int64(d)
	}
	return n, true
}

// RefText returns the reference of a number of 40 bits.
func RefText(n int64) string {
	var b [8]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = crockford[n&31]
		n >>= 5
	}
	return string(b[:])
}
