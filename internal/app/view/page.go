// Package view shows results: as text for people, and as JSON for programs. It does not depend
// on commands and flags: a Page says where results are written and what the reader wants.
package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"postseal/internal/app/term"
)

// Page is where results are written.
type Page struct {
	W       io.Writer
	Style   term.Style
	Format  string // "text", "json", or "jsonl": one object per line
	Quiet   bool   // one line per result
	Verbose bool
	Offline bool // the DNS answers came from a file, so their times mean nothing

	width int // of the result column
}

// flush writes out what W buffers.
func (p *Page) flush() error {
	if w, ok := p.W.(interface{ Flush() error }); ok {
		return w.Flush()
	}
	return nil
}

// JSON reports whether the reader is a program.
func (p *Page) JSON() bool { return p.Format != "text" }

// Object writes v as JSON: indented, or on one line for jsonl.
func (p *Page) Object(v any) error {
	e := json.NewEncoder(p.W)
	e.SetEscapeHTML(false)
	if p.Format == "json" {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

const (
	methodWidth  = 6
	maxUntrusted = 400 // columns of one piece of text that contains untrusted words
)

func (p *Page) line(format string, args ...any) {
	fmt.Fprintf(p.W, format+"\n", args...)
}

// clean makes text safe to show: our own symbols as the terminal supports them, untrusted
// octets harmless.
func (p *Page) clean(text string) string { return p.Style.Sanitize(p.Style.Text(text), maxUntrusted) }

// uncut makes a record to publish safe to show. It is never cut: readers paste it.
func (p *Page) uncut(text string) string { return p.Style.Sanitize(text, 0) }

// stringsNote is what to know of a TXT record that needs more than one character-string (RFC 1035 §3.3.14).
func stringsNote(value string) string {
	if len(value) <= maxString {
		return ""
	}
	return "longer than 255 octets: in a zone file, write it as several strings of at most 255 octets; web editors usually split it"
}

const maxString = 255

// indent is the column where the text of a result starts.
func (p *Page) indent() int { return 3 + methodWidth + 1 + p.width + 2 }

// room is the number of columns of that text.
func (p *Page) room() int { return term.Width - p.indent() }

// result writes the first line of one method; right is at the right edge, or below if it does
// not fit.
func (p *Page) result(tone term.Tone, method, result, text, right string) {
	lead := " " + p.Style.Symbol(tone) + " " + p.Style.Bold(term.Pad(method, methodWidth)) + " " +
		p.Style.Paint(tone, term.Pad(result, p.width)) + "  "
	lines := fit(text, p.room())
	gap := p.room() - term.Columns(lines[0]) - term.Columns(right)
	if right == "" || gap < 3 || len(lines) > 1 {
		p.line("%s", strings.TrimRight(lead+lines[0], " "))
	} else {
		p.line("%s%s%*s%s", lead, lines[0], gap, "", p.Style.Dim(right))
		right = ""
	}
	for _, l := range lines[1:] {
		p.line("%*s%s", p.indent(), "", l)
	}
	if right != "" {
		p.detail(p.Style.Dim(right))
	}
}

// detail writes text below a result.
func (p *Page) detail(text string) {
	if p.Quiet {
		return
	}
	for _, l := range wrap(text, p.room()) {
		p.line("%*s%s", p.indent(), "", l)
	}
}

// details writes parts below a result.
func (p *Page) details(parts []string) {
	if p.Quiet {
		return
	}
	for _, l := range p.pack(parts, p.room()) {
		p.line("%*s%s", p.indent(), "", l)
	}
}

// pack puts several parts on a line if they fit, and wraps parts longer than a line.
func (p *Page) pack(parts []string, columns int) []string {
	sep := p.Style.Text(" · ")
	var lines []string
	line := ""
	for _, part := range parts {
		part = p.clean(part)
		switch {
		case line == "":
			line = part
		case term.Columns(line)+term.Columns(sep)+term.Columns(part) > columns:
			lines = append(lines, wrap(line, columns)...)
			line = part
		default:
			line += sep + part
		}
	}
	return append(lines, wrap(line, columns)...)
}

// fit returns text unchanged if it fits, else wrapped. It has at least one line.
func fit(text string, columns int) []string {
	if term.Columns(text) <= columns {
		return []string{text}
	}
	return wrap(text, columns)
}

func wrap(text string, columns int) []string { return term.Wrap(text, columns) }

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

// lifetime formats a TTL: 1h, not 1h0m0s.
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

// Plural writes n with the noun for it.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
