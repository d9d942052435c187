package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// maxMarks limits the combining marks on one character, so that text stays in its line.
const maxMarks = 2

// Sanitize makes untrusted text safe to show: control characters, bidirectional controls,
// invisible characters and octets that are not UTF-8 become visible escapes, and the text is
// cut to at most columns. columns <= 0 does not cut. A line break becomes a space.
func (s Style) Sanitize(in string, columns int) string {
	if plain(in) && (columns <= 0 || len(in) <= columns) {
		return in
	}
	var b strings.Builder
	used, marks := 0, 0
	for i := 0; i < len(in); {
		r, size := utf8.DecodeRuneInString(in[i:])
		piece, w := s.show(r, in[i:i+size])
		if marks = countMark(r, marks); marks > maxMarks {
			i += size
			continue
		}
		if columns > 0 && used+w > columns-len(s.ellipsis(in[i+size:])) {
			b.WriteString(s.cut())
			return b.String()
		}
		b.WriteString(piece)
		used += w
		i += size
	}
	return b.String()
}

// ellipsis reserves space for the mark of a cut, as long as text continues.
func (s Style) ellipsis(rest string) string {
	switch {
	case rest == "":
		return ""
	case s.UTF8:
		return "."
	}
	return "..."
}

func (s Style) cut() string {
	if s.UTF8 {
		return "…"
	}
	return "..."
}

func countMark(r rune, before int) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return before + 1
	}
	return 0
}

// show returns the text that represents r on the screen, and its columns.
func (s Style) show(r rune, raw string) (string, int) {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0]), 4
	case r == '\n' || r == '\t' || r == '\r':
		return " ", 1
	case r < 0x20 || r == 0x7f:
		return fmt.Sprintf(`\x%02x`, r), 4
	case r < 0x7f:
		return raw, 1
	case !unicode.IsPrint(r) || !s.UTF8:
		e := fmt.Sprintf(`\u%04x`, r)
		return e, len(e)
	}
	return raw, runeColumns(r)
}

func plain(in string) bool {
	for i := 0; i < len(in); i++ {
		if in[i] < 0x20 || in[i] > 0x7e {
			return false
		}
	}
	return true
}

// runeColumns returns the width of r. The result must not depend on the locale of the host:
// characters of ambiguous width in East Asia take one column.
func runeColumns(r rune) int { return text.RuneWidth(r) }

func init() { text.OverrideRuneWidthEastAsianWidth(false) }

// Columns returns the width of text on the screen. Color escapes have no width.
func Columns(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Pad fills s with spaces up to columns.
func Pad(s string, columns int) string { return text.Pad(s, columns, ' ') }

// Wrap breaks s at spaces into lines of at most columns, and breaks a word that is longer than
// a line. It returns no line for an empty s. (text.WrapSoft of go-pretty makes lines too wide
// if a double-width character crosses the edge.)
func Wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && Columns(line)+1+Columns(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		for line == "" && Columns(word) > columns {
			n := prefix(word, columns)
			lines = append(lines, word[:n])
			word = word[n:]
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// prefix returns the length of the longest start of word with at most columns, at least one
// character.
func prefix(word string, columns int) int {
	n := 0
	for i := range word {
		if n > 0 && Columns(word[:i]) > columns {
			return n
		}
		n = i
	}
	return max(n, 1)
}

// Commas writes a number in groups of three.
func Commas(decimal string) string {
	var b strings.Builder
	for i, c := range decimal {
		if i > 0 && (len(decimal)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
