package spfrecord

import (
	"strconv"
	"strings"

	"postseal/internal/core/reason"
)

// MacroString is a parsed macro-string (RFC 7208 §7.1).
type MacroString struct {
	Text  string      // as written
	parts []macroPart // none when there is no "%": Text is meant as it is
}

type macroPart struct {
	literal string // when letter is 0
	letter  byte   // lower case
	escape  bool   // upper case: URL escapes (RFC 7208 §7.3)
	keep    int    // right-most parts to keep, 0 is all
	reverse bool
	split   string // delimiters
}

// where a macro-string stands decides which letters it may hold (RFC 7208 §7.2).
type where uint8

const (
	inDomainSpec where = iota
	inExplanation
	inUnknown // a modifier that is never evaluated
)

// Has reports whether the string has one of these macro letters (RFC 7208 §7.2).
func (m *MacroString) Has(letters string) bool {
	for _, p := range m.parts {
		if p.letter != 0 && strings.IndexByte(letters, p.letter) >= 0 {
			return true
		}
	}
	return false
}

// Static returns the text when there is no macro in it, with %%, %_ and %- resolved (RFC
// 7208 §7.1).
func (m *MacroString) Static() (string, bool) {
	switch len(m.parts) {
	case 0:
		return m.Text, true
	case 1:
		return m.parts[0].literal, m.parts[0].letter == 0
	}
	return "", false
}

// parseMacros parses macro-string, or in an explanation explain-string, which may hold
// spaces.
func parseMacros(s string, offset int, in where) (*MacroString, error) {
	m := &MacroString{Text: s}
	if strings.IndexByte(s, '%') < 0 {
		return m, checkVisible(s, offset, in)
	}
	var literal []byte
	flush := func() {
		if len(literal) > 0 {
			m.parts = append(m.parts, macroPart{literal: string(literal)})
			literal = literal[:0]
		}
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c != '%' {
			if err := checkVisible(s[i:i+1], offset+i, in); err != nil {
				return nil, err
			}
			literal = append(literal, c)
			i++
			continue
		}
		if i+1 < len(s) && s[i+1] == '{' {
			flush()
			p, n, msg := parseMacro(s[i:], in)
			if msg != "" {
				return nil, &SyntaxError{offset + i, BadMacro, msg}
			}
			m.parts = append(m.parts, p)
			i += n
			continue
		}
		escaped := ""
		if i+1 < len(s) {
			escaped = map[byte]string{'%': "%", '_': " ", '-': "%20"}[s[i+1]]
		}
		if escaped == "" {
			return nil, &SyntaxError{offset + i, BadMacro, `"%" begins no macro`}
		}
		literal = append(literal, escaped...)
		i += 2
	}
	flush()
	return m, nil
}

// checkVisible finds a character that a macro-string must not hold. It returns no typed nil.
func checkVisible(s string, offset int, in where) error {
	for i := range len(s) {
		if c := s[i]; (c < 0x21 || c > 0x7e) && !(c == ' ' && in == inExplanation) {
			return &SyntaxError{offset + i, BadMacro, "character that is not visible ASCII"}
		}
	}
	return nil
}

// ParseExplanation parses an explain-string of at most 4096 octets (RFC 7208 §6.2, §7.1).
// The error is a *SyntaxError; receivers then give no explanation.
func ParseExplanation(text string) (*MacroString, error) {
	if len(text) > maxExpansion {
		return nil, &SyntaxError{0, BadMacro, "the explanation is too long"}
	}
	return parseMacros(text, 0, inExplanation)
}

// parseMacro parses one "%{" letter transformers delimiters "}".
func parseMacro(s string, in where) (p macroPart, n int, msg string) {
	end := strings.IndexByte(s, '}')
	if end < 3 {
		return p, 0, `"%{" without letter and "}"`
	}
	p.letter = s[2] | 0x20
	p.escape = s[2] < 'a'
	allowed := "slodiphv"
	if in != inDomainSpec {
		allowed = "slodiphvcrt"
	}
	if !isAlpha(s[2]) || strings.IndexByte(allowed, p.letter) < 0 {
		return p, 0, "no such macro letter here: " + reason.Quote(s[2:3])
	}
	body := s[3:end]
	digits := 0
	for digits < len(body) && isDigit(body[digits]) {
		digits++
	}
	if digits > 0 {
		significant := strings.TrimLeft(body[:digits], "0")
		if significant == "" {
			return p, 0, "a macro cannot keep 0 parts"
		}
		p.keep, _ = strconv.Atoi(significant[:min(len(significant), 9)]) // no value has so many parts
	}
	body = body[digits:]
	if body != "" && body[0]|0x20 == 'r' {
		p.reverse, body = true, body[1:]
	}
	for i := range len(body) {
		if strings.IndexByte(".-+,/_=", body[i]) < 0 {
			return p, 0, "no such delimiter: " + reason.Quote(body[i:i+1])
		}
	}
	p.split = body
	if body == "" {
		p.split = "."
	}
	return p, end + 1, ""
}

// parseDomainSpec parses domain-spec: a macro-string that ends in a macro or in a dot and
// a toplabel.
func parseDomainSpec(s string, offset int) (*MacroString, error) {
	m, err := parseMacros(s, offset, inDomainSpec)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return nil, &SyntaxError{offset, BadDomainSpec, "empty domain"}
	}
	if n := len(m.parts); n > 0 && m.parts[n-1].letter != 0 || endsInEscape(s) {
		return m, nil
	}
	tail := s
	if i := strings.LastIndexByte(s, '}'); i >= 0 {
		tail = s[i+1:]
	}
	tail = strings.TrimSuffix(tail, ".")
	dot := strings.LastIndexByte(tail, '.')
	if dot < 0 || !isTopLabel(tail[dot+1:]) {
		return nil, &SyntaxError{offset, BadDomainSpec, reason.Quote(s) + " does not end in a top-level label or a macro"}
	}
	return m, nil
}

// endsInEscape reports whether the last two octets are %%, %_ or %-, which are macros to
// the grammar. s is a valid macro-string.
func endsInEscape(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if s[i+1] == '{' {
			i += strings.IndexByte(s[i:], '}')
			continue
		}
		i++
		if i == len(s)-1 {
			return true
		}
	}
	return false
}

// isTopLabel: letters, digits, inner hyphens, and not digits alone (RFC 7208 §7.1).
func isTopLabel(s string) bool {
	if s == "" || !IsAlnum(s[0]) || !IsAlnum(s[len(s)-1]) {
		return false
	}
	numeric := true
	for i := range len(s) {
		if !IsAlnum(s[i]) && s[i] != '-' {
			return false
		}
		numeric = numeric && isDigit(s[i])
	}
	return !numeric
}

// ExpandName replaces the macros of a domain-spec and drops leading labels until the name
// fits 253 octets (RFC 7208 §7.3); value gives the text of a letter. While it is made, what
// lies too far to the left to stay is dropped.
func (m *MacroString) ExpandName(value func(letter byte) string) string {
	if s, ok := m.Static(); ok {
		return TruncateName(s)
	}
	var b []byte
	for i := range m.parts {
		b = append(b, m.parts[i].text(value)...)
		if len(b) > maxExpansion {
			b = b[len(b)-maxExpansion:]
		}
	}
	return TruncateName(string(b))
}

// ExpandText replaces the macros of an explanation, as far as maxExpansion.
func (m *MacroString) ExpandText(value func(letter byte) string) string {
	if s, ok := m.Static(); ok {
		return s
	}
	var b strings.Builder
	for i := range m.parts {
		b.WriteString(m.parts[i].text(value))
		if b.Len() > maxExpansion {
			break
		}
	}
	return b.String()
}

// text is what the part comes to.
func (p *macroPart) text(value func(letter byte) string) string {
	if p.letter == 0 {
		return p.literal
	}
	v := p.transform(value(p.letter))
	if p.escape {
		v = escapeURL(v)
	}
	return v
}

// maxExpansion bounds an expansion while it is made, far above the 253 octets of a name
// and maxExplanation.
const maxExpansion = 4096

// transform splits, reverses, keeps the right-most parts and joins with dots (RFC 7208
// §7.3).
func (p *macroPart) transform(v string) string {
	if p.split == "." && p.keep == 0 && !p.reverse {
		return v
	}
	var parts []string
	for start := 0; ; {
		i := strings.IndexAny(v[start:], p.split)
		if i < 0 {
			parts = append(parts, v[start:])
			break
		}
		parts = append(parts, v[start:start+i])
		start += i + 1
	}
	if p.reverse {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	}
	if p.keep > 0 && p.keep < len(parts) {
		parts = parts[len(parts)-p.keep:]
	}
	return strings.Join(parts, ".")
}

// escapeURL escapes all but the unreserved characters of RFC 3986 §2.3.
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if IsAlnum(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// TruncateName drops leading labels until a name fits 253 octets (RFC 7208 §7.3).
func TruncateName(s string) string {
	s = strings.TrimSuffix(s, ".")
	for len(s) > 253 {
		_, rest, ok := strings.Cut(s, ".")
		if !ok {
			return s
		}
		s = rest
	}
	return s
}
