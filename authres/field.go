package authres

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Field is the content of one Authentication-Results field (RFC 8601 §2.2).
type Field struct {
	AuthservID string
	Version    int      // 0 when absent, which means 1
	Results    []Result // empty is "none"
}

// Result is the result of one method (RFC 8601 §2.2 resinfo).
type Result struct {
	Method     string // spf, dkim, dmarc, …; lower case
	Version    int    // of the method; 0 when absent
	Value      string // the result word; lower case
	Reason     string
	Comment    string // the comment after the result word, its white space made single spaces
	Properties []Property
}

// Property is ptype.property=pvalue (RFC 8601 §2.2 propspec).
type Property struct {
	Type, Name, Value string
}

// Bounds of what is written, in octets: with them even a line that cannot be folded stays
// below 998 (RFC 5322 §2.1.1).
const (
	maxColumn  = 78
	maxKeyword = 64
	maxValue   = 400
	maxComment = 200
)

// Value is the body of the field (RFC 8601 §2.2): it begins with a space, is folded with CRLF
// and a tab before column 78 where it can be (RFC 5322 §2.1.1), and ends without a line ending.
// Whatever the strings hold, it has no other control octet, and no value leaves its quotes or
// its comment.
func (f Field) Value() string { return string(f.appendValue(make([]byte, 0, 1<<10))) }

// appendValue appends what Value returns to dst.
func (f *Field) appendValue(dst []byte) []byte {
	w := writer{buf: dst, column: len("Authentication-Results:")}
	start := w.space()
	w.value(f.AuthservID)
	w.column += len(w.buf) - start
	if f.Version > 0 {
		start = w.space()
		w.buf = strconv.AppendInt(w.buf, int64(f.Version), 10)
		w.fit(start)
	}
	if len(f.Results) == 0 {
		w.buf = append(w.buf, ";"...)
		w.column++
		start = w.space()
		w.buf = append(w.buf, "none"...)
		w.fit(start)
	}
	for i := range f.Results[:min(len(f.Results), maxResults)] {
		w.result(&f.Results[i])
	}
	return w.buf
}

// writer appends words and keeps the column. A word is what lies between two calls of
// space and fit.
type writer struct {
	buf    []byte
	column int // of the end of buf, a tab counted as 8
}

// space begins a word and returns where.
func (w *writer) space() int {
	w.buf = append(w.buf, ' ')
	return len(w.buf) - 1
}

// fit ends the word that began at start. A word that reaches too far, with room for the ";"
// after it, goes to a new line.
func (w *writer) fit(start int) {
	w.column += len(w.buf) - start
	if w.column+1 >= maxColumn {
		w.foldAt(start)
	}
}

// foldAt makes the space at start a fold.
func (w *writer) foldAt(start int) {
	w.buf = slices.Replace(w.buf, start, start+1, '\r', '\n', '\t')
	w.column = 8 + len(w.buf) - start - len("\r\n\t")
}

// result begins a line for each method: the field is read by people too.
func (w *writer) result(r *Result) {
	w.buf = append(w.buf, ";\r\n\t"...)
	start := len(w.buf)
	w.keyword(r.Method)
	if r.Version > 0 {
		w.buf = append(w.buf, '/')
		w.buf = strconv.AppendInt(w.buf, int64(r.Version), 10)
	}
	w.buf = append(w.buf, '=')
	w.keyword(r.Value)
	w.column = 8 + len(w.buf) - start
	w.comment(r.Comment)
	if r.Reason != "" {
		start = w.space()
		w.buf = append(w.buf, "reason="...)
		w.value(r.Reason)
		w.fit(start)
	}
	for i := range r.Properties[:min(len(r.Properties), maxProperties)] {
		p := &r.Properties[i]
		start = w.space()
		w.keyword(p.Type)
		w.buf = append(w.buf, '.')
		w.keyword(p.Name)
		w.buf = append(w.buf, '=')
		w.propertyValue(p.Value)
		w.fit(start)
	}
}

// keyword keeps what a Keyword may hold (RFC 8601 §2.2, RFC 5321 §4.1.2 Ldh-str), in lower
// case; any other octet becomes "x", and so does a keyword of nothing.
func (w *writer) keyword(s string) {
	if isPlainKeyword(s) {
		w.buf = append(w.buf, s...)
		return
	}
	for i := range len(s[:min(len(s), maxKeyword)]) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case !isAlnum(c) && c != '-':
			c = 'x'
		}
		w.buf = append(w.buf, c)
	}
	if s == "" || w.buf[len(w.buf)-1] == '-' {
		w.buf = append(w.buf, 'x')
	}
}

// isPlainKeyword reports whether s is a keyword as it stands.
func isPlainKeyword(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxKeyword && s[len(s)-1] != '-'
}

// value is a token where s is one, else a quoted-string (RFC 2045 §5.1).
func (w *writer) value(s string) {
	if len(s) <= maxValue && isToken(s) {
		w.buf = append(w.buf, s...)
		return
	}
	w.quoted(s)
}

// propertyValue is a value, or [local-part] "@" domain-name (RFC 8601 §2.2 pvalue).
func (w *writer) propertyValue(s string) {
	at := strings.LastIndexByte(s, '@')
	if at >= 0 && len(s) <= maxValue && (at == 0 || isDotAtom(s[:at])) && isHostName(s[at+1:]) {
		w.buf = append(w.buf, s...)
		return
	}
	w.value(s)
}

// quoted writes s in quotes. What is not printable becomes "?", and no rune is cut.
func (w *writer) quoted(s string) {
	w.buf = append(w.buf, '"')
	for n := 0; n < len(s); {
		r, size := utf8.DecodeRuneInString(s[n:])
		if n+size > maxValue {
			break
		}
		switch {
		case r == '"', r == '\\':
			w.buf = append(w.buf, '\\', byte(r))
		case r == utf8.RuneError, !unicode.IsPrint(r):
			w.buf = append(w.buf, '?')
		default:
			w.buf = append(w.buf, s[n:n+size]...)
		}
		n += size
	}
	w.buf = append(w.buf, '"')
}

// comment writes s between parentheses and folds it between its words. Only printable
// ASCII is kept as it is.
func (w *writer) comment(s string) {
	first, start := true, 0
	for word := range strings.FieldsSeq(s[:min(len(s), maxComment)]) {
		if !first {
			w.fit(start)
		}
		start = w.space()
		if first {
			w.buf = append(w.buf, '(')
		}
		first = false
		w.escaped(word)
	}
	if !first {
		w.buf = append(w.buf, ')')
		w.fit(start)
	}
}

func (w *writer) escaped(word string) {
	for i := range len(word) {
		c := word[i]
		switch {
		case c == '(', c == ')', c == '\\':
			w.buf = append(w.buf, '\\', c)
		case c < 0x20, c > 0x7e:
			w.buf = append(w.buf, '?')
		default:
			w.buf = append(w.buf, c)
		}
	}
}
