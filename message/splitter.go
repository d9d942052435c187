package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxName is the longest field name or mbox "From " line; a line may not be longer
// (RFC 5322 §2.1.1).
const maxName = 998

// ErrClosed is returned by a Splitter that is written to after Close.
var ErrClosed = errors.New("message: write to a closed Splitter")

var errNoSink = errors.New("message: the Splitter has no Sink: use NewSplitter")

// Splitter splits a message that is written to it, in pieces of any size, into header
// fields and body. The result does not depend on the pieces. The rules:
//
//   - A line ends with CRLF and nothing else (RFC 5322 §2.1). A bare CR, a bare LF or
//     a NUL in the header section stays content of its field; FindAuthor then refuses
//     the header section, because a lenient reader would see another field there.
//   - A line that begins with a space or a tab continues the field above it (§2.2.3),
//     also when it holds nothing else (§4.2 obs-FWS).
//   - An empty line ends the header section and belongs to neither part. So does the
//     end of the message.
//   - A line that is neither field nor continuation ends the header section too and is
//     the first line of the body: the empty line is missing. Postfix does the same.
//   - If such a line is the very first and begins with "From " or ">From ", it is an
//     mbox separator (RFC 4155) and is skipped. "From : x" is a field.
//   - The body goes to the Sink untouched and uncopied.
//
// Memory is bounded by the Limits, also with PastLimits. The zero value is not usable: see NewSplitter.
type Splitter struct {
	dst Sink
	lim Limits
	err error

	body   bool   // the header section has ended
	first  bool   // no line has been consumed
	buf    []byte // start of the unit that is not complete: one field or line
	scan   int    // octets of the unit that need not be looked at again
	colon  int    // of the unit, -1 when not yet seen
	fields int
	used   int // octets of the fields so far, with their CRLFs
	past   bool
}

// NewSplitter returns a Splitter that feeds dst. Close ends the message.
func NewSplitter(dst Sink, lim Limits) *Splitter {
	return &Splitter{dst: dst, lim: lim.orDefault(), first: true, colon: -1}
}

// PastLimits makes s continue at a limit, for a Sink that must see every field, such as one
// that looks for forged ones (RFC 8601 §5). No call returns a *LimitError then: the Sink
// applies Limits.Check itself, and bounds what it keeps. A field longer than FieldBytes is cut
// to one octet more.
func (s *Splitter) PastLimits() { s.past = true }

// Write takes the next piece of the message. The first error, of a limit (*LimitError)
// or of the Sink, ends the splitting and is returned again by every later call.
func (s *Splitter) Write(p []byte) (int, error) {
	if s.dst == nil {
		return 0, errNoSink
	}
	rest := p
	for s.err == nil && len(rest) > 0 {
		switch {
		case s.body:
			var n int
			n, s.err = s.dst.Write(rest)
			if s.err == nil && n < len(rest) {
				s.err = io.ErrShortWrite
			}
			n = min(max(n, 0), len(rest))
			rest = rest[n:]
		case len(s.buf) > 0:
			rest = s.resume(rest)
		default:
			rest = s.unit(rest)
		}
	}
	return len(p) - len(rest), s.err
}

// resume completes the unit in the buffer with the start of p and returns the rest.
func (s *Splitter) resume(p []byte) []byte {
	const most = 4 << 10 // bounds what is copied beyond the end of the unit
	old := len(s.buf)
	k := min(len(p), most)
	if i := bytes.IndexByte(p[:k], '\n'); i >= 0 {
		k = min(len(p), i+2) // with the octet that tells whether the field continues
	}
	s.buf = append(s.buf, p[:k]...)
	n := s.next(s.buf)
	switch {
	case s.err != nil:
		return p
	case s.body && n == 0: // the line that was held back begins the body
		held := s.buf
		s.buf = nil
		_, s.err = s.Write(held)
		return p[k:]
	case n == 0:
		head, tail := s.cut(s.buf)
		s.buf = append(head, tail...)
		return p[k:]
	}
	s.buf = s.buf[:0]
	return p[n-old:] // what is held never reaches beyond one unit: n >= old
}

// unit takes one unit from the start of p, or holds all of p back when it is not
// complete.
func (s *Splitter) unit(p []byte) []byte {
	n := s.next(p)
	if n == 0 && !s.body && s.err == nil {
		head, tail := s.cut(p)
		s.buf = append(append(s.buf, head...), tail...)
		return nil
	}
	return p[n:]
}

// most is how many octets of a field are kept: one more than may be, so that Limits.Check sees it,
// and the colon in any case.
func (s *Splitter) most() int { return max(s.lim.FieldBytes, s.colon) + 1 }

// cut omits the middle of a field that is too long and not complete. Its last two octets stay,
// which tell where it ends.
func (s *Splitter) cut(field []byte) (head, tail []byte) {
	most := s.most()
	if !s.past || s.colon < 0 || len(field) <= most+2 {
		return field, nil
	}
	s.scan -= len(field) - (most + 2)
	return field[:most], field[len(field)-2:]
}

// next handles the unit at the start of data: a field, the empty line, an mbox line.
// It returns its octets. 0 means that the unit is not complete or, with s.body set,
// that the body begins here.
func (s *Splitter) next(data []byte) int {
	if data[0] == '\r' && s.scan == 0 {
		if len(data) == 1 {
			return 0
		}
		if data[1] == '\n' {
			s.endHeader()
			return 2
		}
	}
	if s.colon < 0 && !s.name(data) {
		return s.noField(data)
	}
	if s.colon < 0 {
		return 0
	}
	if s.fields >= s.lim.Fields && !s.past {
		s.err = s.lim.exceeded(TooManyFields)
		return 0
	}
	end, complete := s.fieldEnd(data)
	octets, over := s.lim.room(s.used)
	if end > octets && !s.past {
		s.err = s.lim.exceeded(over)
		return 0
	}
	if !complete {
		return 0
	}
	s.emit(data[:end-2])
	return end
}

// name looks for the colon that ends the field name. It reports false when the line is not a
// field: see ParseField.
func (s *Splitter) name(data []byte) bool {
	for ; s.scan < len(data); s.scan++ {
		c := data[s.scan]
		switch {
		case c == ':':
			if s.scan > 0 {
				s.colon = s.scan
			}
			return s.scan > 0
		case s.scan >= maxName:
			return false
		case c == ' ' || c == '\t':
			if s.scan == 0 {
				return false
			}
		case c < 33 || c > 126:
			return false
		case s.scan > 0 && (data[s.scan-1] == ' ' || data[s.scan-1] == '\t'):
			return false
		}
	}
	return true
}

// fieldEnd returns the octets of the field with the CRLF that ends it, or what there
// is of it.
func (s *Splitter) fieldEnd(data []byte) (end int, complete bool) {
	s.scan = max(s.scan, s.colon)
	for {
		i := bytes.IndexByte(data[s.scan:], '\n')
		if i < 0 {
			s.scan = len(data)
			return len(data), false
		}
		lf := s.scan + i
		if lf+1 == len(data) {
			s.scan = lf
			return len(data), false
		}
		s.scan = lf + 1
		if data[lf-1] == '\r' && data[lf+1] != ' ' && data[lf+1] != '\t' {
			return lf + 1, true
		}
	}
}

// noField handles a line that is not a field.
func (s *Splitter) noField(data []byte) int {
	if !s.first || !bytes.HasPrefix(data, []byte("From ")) && !bytes.HasPrefix(data, []byte(">From ")) {
		s.endHeader()
		return 0
	}
	lf := bytes.IndexByte(data[:min(len(data), maxName+2)], '\n')
	if lf < 0 && len(data) < maxName+2 {
		return 0
	}
	// A line with a bare CR or LF may hide a field from us only: not skipped.
	if lf < 1 || bytes.IndexByte(data[:lf], '\r') != lf-1 {
		s.endHeader()
		return 0
	}
	s.reset()
	return lf + 1
}

func (s *Splitter) emit(raw []byte) {
	if s.past {
		raw = raw[:min(len(raw), s.most())]
	}
	s.fields++
	s.used += len(raw) + 2
	f := Field{Raw: raw[:len(raw):len(raw)], Colon: s.colon}
	s.reset()
	s.err = s.dst.Field(f)
}

func (s *Splitter) reset() { s.first, s.scan, s.colon = false, 0, -1 }

func (s *Splitter) endHeader() {
	s.reset()
	s.body = true
	s.err = s.dst.EndHeader()
}

// Close ends the message: a field without its CRLF is delivered, a held line becomes
// body, EndHeader is called if it was not. It returns the first error of the Splitter.
func (s *Splitter) Close() error {
	if s.dst == nil {
		return errNoSink
	}
	if s.err == nil {
		s.finish()
		if s.err == nil {
			s.err = ErrClosed
			return nil
		}
	}
	if s.err == ErrClosed {
		return nil
	}
	return s.err
}

func (s *Splitter) finish() {
	held := s.buf
	s.buf = nil
	if s.colon >= 0 && len(held) > 0 {
		raw := bytes.TrimSuffix(held, []byte("\r\n"))
		if octets, over := s.lim.room(s.used); len(raw)+2 > octets && !s.past {
			s.err = s.lim.exceeded(over)
			return
		}
		s.emit(raw)
		held = nil
	}
	if !s.body && s.err == nil {
		s.endHeader()
	}
	if len(held) > 0 && s.err == nil {
		_, s.err = s.Write(held)
	}
}

// Stream splits the message of r, which must have CRLF line endings (see NewCRLFReader), into
// dst, by the rules of Splitter. The error is that of r, of dst, or a *LimitError.
func Stream(dst Sink, r io.Reader, lim Limits) error {
	return NewSplitter(dst, lim).Stream(r)
}

// Stream writes the message of r to s, and closes it.
func (s *Splitter) Stream(r io.Reader) error {
	var err error
	switch src := r.(type) {
	case nil:
		return errNoReader
	case *bytes.Reader: // these hand over what they hold, without a copy
		_, err = src.WriteTo(s)
	case *bytes.Buffer:
		_, err = src.WriteTo(s)
	case *bufio.Reader:
		_, err = src.WriteTo(s)
	case *crlfReader:
		_, err = src.WriteTo(s)
	default:
		// strings.Reader.WriteTo would copy the whole message: not used.
		_, err = io.CopyBuffer(s, struct{ io.Reader }{r}, make([]byte, 32<<10))
	}
	if err != nil {
		return err
	}
	return s.Close()
}
