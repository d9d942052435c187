package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxMarks bounds the combining marks on one character, so that text stays in its line.
const maxMarks = 2

// Clean makes outside text safe to show: control characters, bidirectional controls,
// invisible characters and octets that are no UTF-8 become visible escapes, and the text
// is cut to at most columns. columns <= 0 does not cut. A line break becomes a space.
func (s Style) Clean(text string, columns int) string {
	if plain(text) && (columns <= 0 || len(text) <= columns) {
		return text
	}
	var b strings.Builder
	used, marks := 0, 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		piece, w := s.show(r, text[i:i+size])
		if marks = countMark(r, marks); marks > maxMarks {
			i += size
			continue
		}
		if columns > 0 && used+w > columns-len(s.ellipsis(text[i+size:])) {
			b.WriteString(s.cut())
			return b.String()
		}
		b.WriteString(piece)
		used += w
		i += size
	}
	return b.String()
}

// ellipsis keeps room for the sign of a cut, as long as text goes on.
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

// show returns what stands for r on the screen, and its columns.
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

func plain(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}

func runeColumns(r rune) int {
	switch {
	case r < 0x7f:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Columns is the width of text on the screen. Colour escapes count as nothing.
func Columns(text string) int {
	n := 0
	for i := 0; i < len(text); {
		if text[i] == 0x1b {
			if end := strings.IndexByte(text[i:], 'm'); end > 0 {
				i += end + 1
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		n += runeColumns(r)
		i += size
	}
	return n
}

// Pad fills text with spaces up to columns.
func Pad(text string, columns int) string {
	if n := columns - Columns(text); n > 0 {
		return text + strings.Repeat(" ", n)
	}
	return text
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
