package report

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
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

	notUTF8  bool // an octet that is not UTF-8 was read as Latin-1
	controls bool // a control character was replaced
	escaped  int  // line of the first "<" that was not markup, 0 if there is none
}

// maxRun is the number of octets without "<" or ">" that are taken.
const maxRun = 64 << 10

// newGuard decodes in by its byte order mark or its XML declaration, else as UTF-8.
func newGuard(p place, in *bufio.Reader) *guard {
	g := &guard{p: p, line: 1}
	head, _ := in.Peek(256)
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		g.in = bufio.NewReader(transform.NewReader(in, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder()))
	case declared(head) != "":
		g.in = in
		if e, name := charset.Lookup(declared(head)); e != nil && name != "utf-8" {
			g.in = bufio.NewReader(transform.NewReader(in, e.NewDecoder()))
		}
	default:
		g.in = in
	}
	if bom, _ := g.in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		g.in.Discard(3) //nolint:errcheck // they were peeked
	}
	return g
}

// declared returns the encoding of the XML declaration, "" if there is none or it is UTF-16,
// which a document that could be read so far is not.
func declared(head []byte) string {
	head = bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n")
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
	if !ok || bytes.HasPrefix(bytes.ToLower(name), []byte("utf-16")) {
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
		case c >= utf8.RuneSelf, c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f:
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
