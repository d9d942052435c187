package message

import (
	"bytes"
	"io"
)

// NewCRLFReader returns a reader of r with CRLF line ends (RFC 5322 §2.1), for files
// that lost them on disk. The first line end decides for the whole input: after a CRLF
// every octet is passed as it is, after a bare LF the input has the LF form and each LF
// without a CR before it becomes CRLF. A CR alone is never touched. Memory is one
// buffer.
func NewCRLFReader(r io.Reader) io.Reader { return &crlfReader{src: r} }

// CRLF is what NewCRLFReader makes of text: text itself when it has CRLF line ends.
func CRLF(text []byte) []byte {
	if !endsInLF(text) {
		return text
	}
	return AppendCRLF(make([]byte, 0, len(text)+bytes.Count(text, []byte("\n"))), text)
}

// endsInLF reports whether the first line of text ends in a bare LF.
func endsInLF(text []byte) bool {
	lf := bytes.IndexByte(text, '\n')
	return lf == 0 || lf > 0 && text[lf-1] != '\r'
}

// AppendCRLF appends what NewCRLFReader makes of text to dst.
func AppendCRLF(dst, text []byte) []byte {
	if !endsInLF(text) {
		return append(dst, text...)
	}
	for {
		lf := bytes.IndexByte(text, '\n')
		if lf < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:lf]...)
		if lf == 0 || text[lf-1] != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		text = text[lf+1:]
	}
}

type crlfForm int

const (
	undecided crlfForm = iota
	crlfAsIs
	lfOnly
)

type crlfReader struct {
	src  io.Reader
	buf  []byte
	rest []byte // part of buf that was read and not yet delivered
	form crlfForm
	prev byte // last octet delivered
	err  error
}

// Read implements io.Reader.
func (c *crlfReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.form == crlfAsIs && len(c.rest) == 0 && c.err == nil {
		return c.src.Read(p)
	}
	if len(c.rest) == 0 && c.err == nil {
		c.fill()
	}
	n := c.convert(p)
	if n == 0 && len(c.rest) == 0 {
		return 0, c.err
	}
	return n, nil
}

func (c *crlfReader) fill() {
	if c.buf == nil {
		c.buf = make([]byte, 16<<10)
	}
	n, err := c.src.Read(c.buf)
	c.rest, c.err = c.buf[:n], err
}

// convert moves octets from rest to p until one of them is used up.
func (c *crlfReader) convert(p []byte) int {
	n := 0
	for n < len(p) && len(c.rest) > 0 {
		run := c.rest
		if c.form != crlfAsIs {
			if lf := bytes.IndexByte(c.rest, '\n'); lf >= 0 {
				run = c.rest[:lf]
			}
		}
		if len(run) > 0 {
			k := copy(p[n:], run)
			c.prev = run[k-1]
			c.rest = c.rest[k:]
			n += k
			continue
		}
		if c.form == undecided {
			c.form = lfOnly
			if c.prev == '\r' {
				c.form = crlfAsIs
				continue
			}
		}
		if c.prev != '\r' {
			p[n], c.prev = '\r', '\r' // the LF itself follows, now behind a CR
			n++
			continue
		}
		p[n], c.prev = '\n', '\n'
		n++
		c.rest = c.rest[1:]
	}
	return n
}
