package cli

import (
	"fmt"
	"strings"
	"time"

	"postseal/internal/app/term"
)

const (
	methodWidth = 6
	maxOutside  = 400 // columns of one piece of text with outside words in it
)

func (v *view) line(format string, args ...any) {
	fmt.Fprintf(v.app.out, format+"\n", args...)
}

// clean makes text fit to show: our own signs in what the terminal knows, outside
// octets harmless.
func (v *view) clean(text string) string { return v.style.Clean(v.style.Text(text), maxOutside) }

// indent is the column where the text of a result begins.
func (v *view) indent() int { return 3 + methodWidth + 1 + v.width + 2 }

// room is the number of columns of that text.
func (v *view) room() int { return term.Width - v.indent() }

// result writes the first line of one method; right stands at the right edge, or below
// when there is no room for it.
func (v *view) result(tone term.Tone, method, result, text, right string) {
	lead := " " + v.style.Symbol(tone) + " " + v.style.Bold(term.Pad(method, methodWidth)) + " " +
		v.style.Paint(tone, term.Pad(result, v.width)) + "  "
	lines := fit(text, v.room())
	gap := v.room() - term.Columns(lines[0]) - term.Columns(right)
	if right == "" || gap < 3 || len(lines) > 1 {
		v.line("%s", strings.TrimRight(lead+lines[0], " "))
	} else {
		v.line("%s%s%*s%s", lead, lines[0], gap, "", v.style.Dim(right))
		right = ""
	}
	for _, l := range lines[1:] {
		v.line("%*s%s", v.indent(), "", l)
	}
	if right != "" {
		v.detail(v.style.Dim(right))
	}
}

// detail writes text below a result.
func (v *view) detail(text string) {
	if v.app.flags.quiet {
		return
	}
	for _, l := range wrap(text, v.room()) {
		v.line("%*s%s", v.indent(), "", l)
	}
}

// details writes parts below a result.
func (v *view) details(parts []string) {
	if v.app.flags.quiet {
		return
	}
	for _, l := range v.pack(parts, v.room()) {
		v.line("%*s%s", v.indent(), "", l)
	}
}

// pack puts several parts on a line where they fit, and wraps those that fit on none.
func (v *view) pack(parts []string, columns int) []string {
	sep := v.style.Text(" · ")
	var lines []string
	line := ""
	for _, p := range parts {
		p = v.clean(p)
		switch {
		case line == "":
			line = p
		case term.Columns(line)+term.Columns(sep)+term.Columns(p) > columns:
			lines = append(lines, wrap(line, columns)...)
			line = p
		default:
			line += sep + p
		}
	}
	return append(lines, wrap(line, columns)...)
}

// fit is text as it stands when it fits, else wrapped. It has at least one line.
func fit(text string, columns int) []string {
	if term.Columns(text) <= columns {
		return []string{text}
	}
	return wrap(text, columns)
}

// wrap breaks text at spaces into lines of at most columns, and words that are longer
// than a line where the line ends.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && term.Columns(line)+1+term.Columns(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		for line == "" && term.Columns(word) > columns {
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

// prefix is the length of the longest start of word with at most columns, at least one
// character.
func prefix(word string, columns int) int {
	n := 0
	for i := range word {
		if n > 0 && term.Columns(word[:i]) > columns {
			return n
		}
		n = i
	}
	return max(n, 1)
}

// short is a duration with two digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// lifetime is a TTL: 1h, not 1h0m0s.
func lifetime(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}
