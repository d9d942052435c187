package message

import (
	"bytes"
	"errors"
	"io"
)

// NewCRLFReader returns a reader of r with CRLF line endings (RFC 5322 §2.1), for files that
// lost them on disk. The first line ending decides for the whole input: after a CRLF every
// octet is passed as it is, after a bare LF the input has the LF form and each LF without a CR
// before it becomes CRLF. A CR alone is never touched. Memory is one buffer.
func NewCRLFReader(r io.Reader) io.Reader {
	if r == nil {
		return &crlfReader{err: errNoReader}
	}
	return &crlfReader{src: r}
}

var errNoReader = errors.New("message: the reader is nil")

// CRLF is what NewCRLFReader makes of text: text itself when it has CRLF line endings.
func CRLF(text []byte) []byte {
	if HasCRLF(text) {
		return text
	}
	return AppendCRLF(make([]byte, 0, len(text)+bytes.Count(text, []byte("\n"))), text)
}

// HasCRLF reports whether NewCRLFReader passes text as it is: its first line does not end in a
// bare LF.
func HasCRLF(text []byte) bool {
	lf := bytes.IndexByte(text, '\n')
	return lf < 0 || lf > 0 && text[lf-1] == '\r'
}

// AppendCRLF appends what NewCRLFReader makes of text to dst.
func AppendCRLF(dst, text []byte) []byte {
	if HasCRLF(text) {
		return append(dst, text...)
	}
	return appendCRLFFrom(dst, text, 0)
}

// appendCRLFFrom appends text from octet n on, with a CR before each LF that has none.
func appendCRLFFrom(dst, text []byte, n int) []byte {
	for n < len(text) {
		end := bytes.IndexByte(text[n:], '\n') + 1
		if end == 0 {
			return append(dst, text[n:]...)
		}
		dst = append(dst, text[n:n+end]...)
		if n += end; n < 2 || text[n-2] != '\r' {
			dst[len(dst)-1] = '\r'
			dst = append(dst, '\n')
		}
	}
	return dst
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
		if c.buf == nil {
			c.buf = make([]byte, crlfBlock)
		}
		c.fill(c.buf)
	}
	n := c.convert(p)
	if n == 0 && len(c.rest) == 0 {
		return 0, c.err
	}
	return n, nil
}

const crlfBlock = 16 << 10 // octets that are read together

// fill reads on. The first line ending that it comes to decides the form.
func (c *crlfReader) fill(buf []byte) {
	n, err := c.src.Read(buf)
	c.rest, c.err = buf[:n], err
	lf := -1
	if c.form == undecided {
		lf = bytes.IndexByte(c.rest, '\n')
	}
	switch {
	case lf < 0:
	case lf > 0 && c.rest[lf-1] == '\r', lf == 0 && c.prev == '\r':
		c.form = crlfAsIs
	default:
		c.form = lfOnly
	}
}

// WriteTo implements io.WriterTo, with less work than Read.
func (c *crlfReader) WriteTo(w io.Writer) (int64, error) {
	if c.buf == nil {
		c.buf = make([]byte, crlfBlock)
	}
	var converted []byte
	var written int64
	for {
		if len(c.rest) == 0 && c.err == nil {
			c.fill(c.buf)
		}
		if len(c.rest) > 0 {
			n, err := w.Write(c.convertRest(&converted))
			written += int64(n)
			if err != nil {
				return written, err
			}
		}
		switch c.err {
		case nil:
		case io.EOF:
			return written, nil
		default:
			return written, c.err
		}
	}
}

// convertRest is what rest becomes, in buf where that is something else. It empties rest.
func (c *crlfReader) convertRest(buf *[]byte) []byte {
	text, before := c.rest, c.prev
	c.rest, c.prev = nil, text[len(text)-1]
	switch {
	case c.form != lfOnly:
		return text
	case text[0] == '\n' && before == '\r':
		*buf = appendCRLFFrom(append((*buf)[:0], '\n'), text, 1)
	default:
		*buf = appendCRLFFrom((*buf)[:0], text, 0)
	}
	return *buf
}

// convert moves octets from rest to p until one of them is used up.
func (c *crlfReader) convert(p []byte) int {
	n := 0
	for n < len(p) && len(c.rest) > 0 {
		run := c.rest
		if c.form == lfOnly {
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
		if c.prev != '\r' {
			p[n], c.prev = '\r', '\r' // the LF itself follows, now after a CR
			n++
			continue
		}
		p[n], c.prev = '\n', '\n'
		n++
		c.rest = c.rest[1:]
	}
	return n
}
