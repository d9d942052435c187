package report

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/transform"
)

// guard stands between a document and the XML decoder. It gives the decoder UTF-8 alone, text
// and tags of at most maxRun octets (encoding/xml keeps each in memory as a whole), and "&lt;"
// for a "<" that begins no markup. It notes what it changed.
type guard struct {
	p    place
	in   *bufio.Reader
	out  []byte // ready for the decoder
	at   int
	raw  [4]byte
	err  error
	line int // 1-based line of what was read
	run  int // octets since the last "<" or ">"

	unknown  string // the charset that is named and not known
	notUTF8  bool   // an octet that is not UTF-8 was read as Latin-1
	controls bool   // a control character was replaced
	escaped  int    // line of the first "<" that was not markup, 0 if there is none
}

// maxRun is the number of octets without "<" or ">" that are taken.
const maxRun = 64 << 10

// newGuard decodes in by its XML declaration, else by the charset of the mail part, else as UTF-8.
func newGuard(p place, in *bufio.Reader) *guard {
	g := &guard{p: p, line: 1, in: in}
	g.skipBOM()
	head, _ := g.in.Peek(256)
	name := declared(head)
	if name == "" {
		name = p.charset
	}
	switch e, known := charset.Lookup(name); {
	case name == "" || strings.EqualFold(name, "us-ascii") || strings.HasPrefix(strings.ToLower(name), "utf-16"), strings.HasPrefix(strings.ToLower(name), "utf-32"): // which it is not: that was decoded before
	case e == nil:
		g.unknown = name
	case known != "utf-8":
		g.in = bufio.NewReader(transform.NewReader(in, e.NewDecoder()))
	}
	g.skipBOM()
	g.skipDeclaration()
	return g
}

func (g *guard) skipBOM() {
	for {
		if head, _ := g.in.Peek(len(bom)); string(head) != bom {
			return
		}
		g.in.Discard(len(bom)) //nolint:errcheck // they were peeked
	}
}

// skipDeclaration skips the XML declaration: the decoder would refuse XML 1.1.
func (g *guard) skipDeclaration() {
	head, _ := g.in.Peek(256)
	text := bytes.TrimLeft(head, " \t\r\n")
	end := bytes.Index(head, []byte("?>"))
	if !bytes.HasPrefix(text, []byte("<?xml ")) || end < 0 {
		return
	}
	g.out = bytes.Repeat([]byte("\n"), bytes.Count(head[:end], []byte("\n"))) // the decoder counts lines
	g.line += len(g.out)
	g.in.Discard(end + 2) //nolint:errcheck // they were peeked
}

// declared returns the encoding of the XML declaration, "" if there is none.
func declared(head []byte) string {
	head = bytes.TrimLeft(head, " \t\r\n")
	if !bytes.HasPrefix(head, []byte("<?xml")) {
		return ""
	}
	head, _, _ = bytes.Cut(head, []byte("?>"))
	_, value, ok := bytes.Cut(head, []byte("encoding"))
	if !ok {
		return ""
	}
	value = bytes.TrimLeft(value, " \t\r\n=")
	if len(value) < 2 || value[0] != '"' && value[0] != '\'' {
		return ""
	}
	name, _, ok := bytes.Cut(value[1:], value[:1])
	if !ok {
		return ""
	}
	return string(name)
}

// ReadByte implements io.ByteReader: the decoder reads no further than it must.
func (g *guard) ReadByte() (byte, error) {
	if g.at == len(g.out) {
		if g.err == nil {
			g.fill()
		}
		if g.at == len(g.out) {
			return 0, g.err
		}
	}
	b := g.out[g.at]
	g.at++
	return b, nil
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if g.at == len(g.out) && n > 0 {
			return n, nil
		}
		b, err := g.ReadByte()
		if err != nil {
			return n, err
		}
		p[n], n = b, n+1
	}
	return n, nil
}

// fill makes the next piece ready: the clean octets of the buffer, or one odd character.
func (g *guard) fill() {
	g.out, g.at = g.out[:0], 0
	if g.in.Buffered() == 0 {
		if _, err := g.in.Peek(1); err != nil {
			g.err = err
			return
		}
	}
	buffered, _ := g.in.Peek(g.in.Buffered())
	n := g.clean(buffered)
	if g.err != nil {
		return
	}
	if n > 0 {
		g.out = append(g.out, buffered[:n]...)
		g.in.Discard(n) //nolint:errcheck // they were peeked
		return
	}
	g.odd()
}

// clean counts the octets at the beginning of b that are handed on as they are.
func (g *guard) clean(b []byte) int {
	for i, c := range b {
		switch {
		case c == '<' || c == '>':
			if c == '<' && i > 0 {
				return i // looked at by odd
			}
			if c == '<' {
				return 0
			}
			g.run = 0
			continue
		case c == '&', c >= utf8.RuneSelf, c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f:
			return i
		case c == '\n':
			g.line++
		}
		if g.run++; g.run > maxRun {
			g.err = g.p.refusal(TooLarge, "text of more than %d KiB without a tag", maxRun>>10)
			return 0
		}
	}
	return len(b)
}

// odd takes one character that is not plain.
func (g *guard) odd() {
	b, _ := g.in.Peek(utf8.UTFMax)
	switch c := b[0]; {
	case c == '<':
		g.bracket()
	case c == '&':
		g.ampersand()
	case c < utf8.RuneSelf: // a control character
		g.controls = true
		g.out = append(g.out, "\uFFFD"...)
		g.in.Discard(1) //nolint:errcheck // it was peeked
	default:
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			g.notUTF8 = true
			r = rune(c)
		}
		if r == 0xFFFE || r == 0xFFFF || r >= 0x80 && r < 0xA0 {
			r = utf8.RuneError
		}
		g.out = utf8.AppendRune(g.raw[:0], r)
		g.in.Discard(size) //nolint:errcheck // they were peeked
	}
	if g.run++; g.run > maxRun {
		g.err = g.p.refusal(TooLarge, "text of more than %d KiB without a tag", maxRun>>10)
		g.out, g.at = nil, 0
	}
}

// bracket hands on a "<" that begins markup, and escapes any other.
func (g *guard) bracket() {
	b, _ := g.in.Peek(130)
	g.run = 0
	if markup(b) {
		g.out = append(g.out, '<')
	} else {
		if g.escaped == 0 {
			g.escaped = g.line
		}
		g.out = append(g.out, "&lt;"...)
	}
	g.in.Discard(1) //nolint:errcheck // it was peeked
}

// ampersand hands on a "&", and replaces a reference to a character that XML does not have: the
// decoder would end there.
func (g *guard) ampersand() {
	b, _ := g.in.Peek(12)
	if text, _, ok := bytes.Cut(b, []byte(";")); ok && bytes.HasPrefix(text, []byte("&#")) {
		digits, base := string(text[2:]), 10
		if hex, ok := strings.CutPrefix(strings.ToLower(digits), "x"); ok {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err == nil && (n < ' ' && n != '\t' && n != '\n' && n != '\r' || !utf8.ValidRune(rune(n)) || n == 0xFFFE || n == 0xFFFF) {
			g.controls = true
			g.out = append(g.out, "\uFFFD"...)
			g.in.Discard(len(text) + 1) //nolint:errcheck // they were peeked
			return
		}
	}
	g.out = append(g.out, '&')
	g.in.Discard(1) //nolint:errcheck // it was peeked
}

// markup reports whether b, which begins with "<", begins a tag, a comment, CDATA, a
// processing instruction or a declaration.
func markup(b []byte) bool {
	b = bytes.TrimPrefix(b[1:], []byte("/"))
	if len(b) == 0 {
		return false
	}
	if b[0] == '!' || b[0] == '?' {
		return true
	}
	for i, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
		switch {
		case letter, i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.' || c == ':'):
		default:
			return i > 0 && (c == '>' || c == '/' || c == ' ' || c == '\t' || c == '\r' || c == '\n')
		}
	}
	return false
}

// another reports whether a second report follows the end of one.
func (g *guard) another() bool {
	if len(bytes.TrimSpace(g.out[g.at:])) > 0 {
		return false
	}
	g.out, g.at = nil, 0
	g.skipMisc()
	head, _ := g.in.Peek(256)
	n := blanks(head)
	begins := func(text string) bool { return bytes.HasPrefix(head[n:], []byte(text)) }
	if !begins("<?xml ") && !begins("<feedback>") && !begins("<feedback ") {
		return false
	}
	g.in.Discard(n) //nolint:errcheck // they were peeked
	g.skipDeclaration()
	return true
}

// skipMisc skips the comments and processing instructions that may follow a document (XML §2.8).
func (g *guard) skipMisc() {
	for {
		head, _ := g.in.Peek(256)
		n := blanks(head)
		end := ""
		switch text := head[n:]; {
		case bytes.HasPrefix(text, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(text, []byte("<?")) && !bytes.HasPrefix(text, []byte("<?xml ")):
			end = "?>"
		default:
			return
		}
		g.in.Discard(n + 2) //nolint:errcheck // they were peeked
		for last := [3]byte{}; string(last[len(last)-len(end):]) != end; {
			b, err := g.in.ReadByte()
			if err != nil {
				return
			}
			last = [3]byte{last[1], last[2], b}
		}
	}
}

// rest reads what follows the end of the report, and tells whether it is more than white
// space.
func (g *guard) rest() (more bool, err error) {
	more = len(bytes.TrimSpace(g.out[g.at:])) > 0
	for {
		_, err := g.in.Peek(1)
		if errors.Is(err, io.EOF) {
			return more, nil
		}
		if err != nil {
			return more, err
		}
		b, _ := g.in.Peek(g.in.Buffered())
		more = more || len(bytes.TrimSpace(b)) > 0
		g.in.Discard(len(b)) //nolint:errcheck // they were peeked
	}
}
