package authres

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Field is the content of one Authentication-Results field (RFC 8601 §2.2).
type Field struct {
	AuthservID string
	Version    int      // 0 when absent, which means 1
	Results    []Result // empty is "none"
}

// Result is the result of one method.
type Result struct {
	Method     string // spf, dkim, dmarc, …
	Version    int    // of the method; 0 when absent
	Value      string // the result word
	Reason     string
	Comment    string // written behind the result word; Parse does not keep comments
	Properties []Property
}

// Property is ptype.property=pvalue.
type Property struct {
	Type, Name, Value string
}

// Bounds of what is written: a line stays below 998 octets (RFC 5322 §2.1.1).
const (
	column     = 78
	maxKeyword = 64
	maxValue   = 400
	maxComment = 200
)

// Value is the body of the field: it begins with a space, is folded with CRLF and a tab
// before column 78 where it can be, and ends without a line end. Whatever the strings
// hold, it has no other control octet, and no value leaves its quotes or its comment.
func (f Field) Value() string {
	w := writer{column: len("Authentication-Results:")}
	w.word(value(f.AuthservID))
	if f.Version > 0 {
		w.word(strconv.Itoa(f.Version))
	}
	if len(f.Results) == 0 {
		w.b.WriteByte(';')
		w.word("none")
	}
	for i := range f.Results {
		w.b.WriteByte(';')
		w.result(&f.Results[i])
	}
	return w.b.String()
}

type writer struct {
	b      strings.Builder
	column int
}

// word writes white space and s, on a new line when s does not fit.
func (w *writer) word(s string) {
	if w.column+1+len(s) >= column && w.column > 8 {
		w.fold()
	} else {
		w.b.WriteByte(' ')
		w.column++
	}
	w.b.WriteString(s)
	w.column += len(s)
}

func (w *writer) fold() {
	w.b.WriteString("\r\n\t")
	w.column = 8
}

// result begins a line for each method: the field is read by people too.
func (w *writer) result(r *Result) {
	method := keyword(r.Method)
	if r.Version > 0 {
		method += "/" + strconv.Itoa(r.Version)
	}
	w.fold()
	s := method + "=" + keyword(r.Value)
	w.b.WriteString(s)
	w.column += len(s)
	if r.Comment != "" {
		w.word("(" + comment(r.Comment) + ")")
	}
	if r.Reason != "" {
		w.word("reason=" + quoted(r.Reason))
	}
	for _, p := range r.Properties {
		w.word(keyword(p.Type) + "." + keyword(p.Name) + "=" + propertyValue(p.Value))
	}
}

// keyword keeps what a Keyword may hold (RFC 8601 §2.2, RFC 5321 §4.1.2).
func keyword(s string) string {
	ok := s != "" && len(s) <= maxKeyword && s[len(s)-1] != '-'
	for i := 0; ok && i < len(s); i++ {
		ok = isAlnum(s[i]) || s[i] == '-' || s[i] == '_'
	}
	if ok {
		return s
	}
	b := []byte(s[:min(len(s), maxKeyword)])
	for i, c := range b {
		if !isAlnum(c) && c != '-' && c != '_' {
			b[i] = 'x'
		}
	}
	return strings.TrimRight(string(b), "-") + "x"
}

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// isToken is the token of RFC 2045 §5.1.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// value is a token where s is one, else a quoted-string.
func value(s string) string {
	if len(s) <= maxValue && isToken(s) {
		return s
	}
	return quoted(s)
}

// propertyValue is a value, or a mailbox or domain with "@" (RFC 8601 §2.2 pvalue).
func propertyValue(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 && len(s) <= maxValue && (at == 0 || isDotAtom(s[:at])) && isDomain(s[at+1:]) {
		return s
	}
	return value(s)
}

func isDotAtom(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !isAlnum(part[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", part[i]) < 0 {
				return false
			}
		}
	}
	return true
}

func isDomain(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return s != "" && s[0] != '.'
}

func quoted(s string) string {
	s = printable(s, maxValue)
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func comment(s string) string {
	s = printable(s, maxComment)
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '(' || s[i] == ')' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// printable replaces control octets and invalid UTF-8 by "?" and bounds s.
func printable(s string, most int) string {
	if len(s) > most {
		s = s[:most]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	clean := true
	for i := range len(s) {
		clean = clean && s[i] >= 0x20 && s[i] < 0x7f
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
