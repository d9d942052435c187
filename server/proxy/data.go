package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// readData reads a message up to its end, which is only CRLF "." CRLF, removes the dots that
// the client stuffed (RFC 5321 §4.5.2) and writes the rest to dst.
//
// It rejects a bare CR or LF with errBareCR or errBareLF, because another server may accept it
// as a line ending and so see two messages where we see one (CVE-2023-51764), and a NUL with
// errNUL, because another server may drop it or end the line there (RFC 5321 §2.3.1). It reads
// the message to its end even then, and also if dst fails: broken is the error to report for
// the message. err reports that the connection ended.
func readData(dst io.Writer, r *bufio.Reader) (broken, err error) {
	d := dataReader{dst: dst, lineStart: true}
	for {
		piece, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return d.broken, err
		}
		if d.take(piece) {
			return d.broken, nil
		}
	}
}

type dataReader struct {
	dst       io.Writer
	lineStart bool  // the previous octets were CRLF, or DATA itself
	cr        bool  // a piece without a line ending ended in CR
	broken    error // the first error; nothing is written after it
}

// take handles a piece: a line with its LF, or the start of one longer than the buffer. It
// reports whether the message ended.
func (d *dataReader) take(piece []byte) (end bool) {
	if d.lineStart && piece[0] == '.' {
		piece = piece[1:]
		if string(piece) == "\r\n" {
			return true
		}
	}
	fault := d.lineEnd(piece)
	if d.broken == nil {
		d.broken = fault
	}
	if d.broken == nil {
		_, d.broken = d.dst.Write(piece)
	}
	return false
}

// lineEnd records whether a line starts after piece, and looks for a bare CR or LF. A piece is
// never empty: the text before its LF or after a dot is not empty.
func (d *dataReader) lineEnd(piece []byte) error {
	if bytes.IndexByte(piece, 0) >= 0 {
		d.lineStart, d.cr = bytes.HasSuffix(piece, []byte("\r\n")), piece[len(piece)-1] == '\r'
		return errNUL
	}
	n, cr, held := len(piece), bytes.IndexByte(piece, '\r'), d.cr
	d.lineStart = held && n == 1 && piece[0] == '\n' || bytes.HasSuffix(piece, []byte("\r\n"))
	d.cr = piece[n-1] == '\r'
	switch {
	case held && piece[0] != '\n', cr >= 0 && cr < n-2, cr == n-2 && cr >= 0 && piece[n-1] != '\n':
		return errBareCR
	case !d.lineStart && piece[n-1] == '\n':
		return errBareLF
	}
	return nil
}

// dotWriter writes a message in the form of DATA: with an additional dot at the start of each
// line that begins with one (RFC 5321 §4.5.2). The message must have only CRLF line endings.
type dotWriter struct {
	w         *bufio.Writer
	lineStart bool
}

func newDotWriter(w *bufio.Writer) *dotWriter { return &dotWriter{w: w, lineStart: true} }

// Write implements io.Writer.
func (d *dotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if d.lineStart && rest[0] == '.' {
			if err := d.w.WriteByte('.'); err != nil {
				return 0, err
			}
		}
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		d.lineStart = line[len(line)-1] == '\n'
		if _, err := d.w.Write(line); err != nil {
			return 0, err
		}
		rest = rest[len(line):]
	}
	return len(p), nil
}

// end writes the end of the message.
func (d *dotWriter) end() error {
	if !d.lineStart {
		if _, err := d.w.WriteString("\r\n"); err != nil {
			return err
		}
	}
	if _, err := d.w.WriteString(".\r\n"); err != nil {
		return err
	}
	return d.w.Flush()
}
