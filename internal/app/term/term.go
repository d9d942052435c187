// Package term writes for people: color only if wanted, symbols that the terminal can show, and
// no untrusted octet that could control it.
package term

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Width is the number of columns that text output is laid out for.
const Width = 92

// Mode says when to use color.
type Mode string

// The modes of --color. Auto: on a terminal, unless the environment says otherwise.
const (
	Auto   Mode = "auto"
	Always Mode = "always"
	Never  Mode = "never"
)

// Style says what one output can show. The zero value is plain ASCII.
type Style struct {
	Color bool
	UTF8  bool
}

// Detect returns the style for w. It reads NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM for
// color (https://no-color.org, https://bixense.com/clicolors), and LC_ALL, LC_CTYPE and LANG,
// in this order, for the character set.
func Detect(w io.Writer, mode Mode, getenv func(string) string) Style {
	return Style{Color: wantColor(IsTerminal(w), mode, getenv), UTF8: wantUTF8(getenv)}
}

func wantColor(terminal bool, mode Mode, getenv func(string) string) bool {
	force := getenv("CLICOLOR_FORCE")
	switch {
	case mode == Always:
		return true
	case mode == Never, getenv("NO_COLOR") != "":
		return false
	case force != "" && force != "0":
		return true
	case !terminal, getenv("TERM") == "dumb", getenv("CLICOLOR") == "0":
		return false
	}
	return true
}

// wantUTF8 follows POSIX: the first variable that is set and not empty names the locale.
func wantUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const reset = "\x1b[0m"

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + reset
}

// Green marks what is in order.
func (s Style) Green(text string) string { return s.paint("32", text) }

// Yellow marks what needs attention.
func (s Style) Yellow(text string) string { return s.paint("33", text) }

// Red marks what failed.
func (s Style) Red(text string) string { return s.paint("31", text) }

// Dim marks what can be skipped.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Bold marks the most important text.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Tone is the meaning of a line, shown by a symbol and, if wanted, by color.
type Tone uint8

// The tones.
const (
	Muted Tone = iota // neutral: missing or skipped
	Good
	Warn
	Bad
)

// Paint colors text according to its tone.
func (s Style) Paint(t Tone, text string) string {
	switch t {
	case Good:
		return s.Green(text)
	case Warn:
		return s.Yellow(text)
	case Bad:
		return s.Red(text)
	}
	return s.Dim(text)
}

// Symbol returns the one-column symbol of a tone.
func (s Style) Symbol(t Tone) string {
	if s.UTF8 {
		return s.Paint(t, [...]string{"·", "✔", "▲", "✘"}[t])
	}
	return s.Paint(t, [...]string{".", "+", "!", "x"}[t])
}

var asciiSigns = strings.NewReplacer("·", "-", "←", "<-", "→", "->", "≠", "!=", "—", "-", "–", "-", "…", "...", "├─", "|-", "└─", "`-", "│", "|", "×", "x", "§", "sec ")

// Text converts our own text to what the terminal can show. It is not for untrusted text: see
// Sanitize.
func (s Style) Text(text string) string {
	if s.UTF8 {
		return text
	}
	return asciiSigns.Replace(text)
}
