package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const fromLine = "From "

// mbox reads a file of messages that each start with a From line. The four variants differ in
// how they mark a body line that looks like one: mboxo writes ">From ", mboxrd also adds a ">"
// to any ">From ", mboxcl adds a Content-Length to mboxo, and mboxcl2 only has the
// Content-Length.
type mbox struct {
	name string
	file io.ReaderAt // nil for a pipe, which is read once
	size int64
	most int64

	r      *bufio.Reader
	offset int64 // of the data that r returns next
	count  int
	dated  bool // From lines contain times: a line without one is not a From line
}

// streamBuffer is how far a pipe is read ahead. A Content-Length beyond it is not believed, since
// what follows cannot be looked at.
const streamBuffer = 1 << 20

// section is the part of one message that has been read.
type section struct {
	data    []byte
	over    bool // longer than allowed: data is dropped
	octets  int64
	length  int64 // Content-Length, negative if there is none
	inBody  bool
	newLine bool // the next octet starts a line
}

func (b *mbox) messages(yield func(Message) bool) bool {
	line, _, err := b.line()
	b.dated = !FromTime(line).IsZero()
	return b.rest(line, err, yield)
}

// from yields the messages from the From line that comes next.
func (b *mbox) from(yield func(Message) bool) bool {
	line, _, err := b.line()
	return b.rest(line, err, yield)
}

func (b *mbox) rest(line []byte, err error, yield func(Message) bool) bool {
	for err == nil {
		m := Message{Name: b.next(), Mbox: true, Stored: FromTime(line), Line: fromText(line)}
		start := b.offset - int64(len(line))
		s := section{data: m.empty(), length: -1, newLine: true}
		line, err = b.message(&s)
		m.Size, m.offset = b.offset-int64(len(line))-start, start
		switch {
		case s.over:
			m.Err = ErrTooLarge
		case len(s.data) == 0:
			m.Err = ErrEmpty
		default:
			m.Raw = s.data
		}
		if err != nil && err != io.EOF {
			m.Raw, m.Err = nil, fmt.Errorf("cannot be read: %w", err)
		}
		if !yield(m) {
			return false
		}
	}
	return true
}

func (b *mbox) next() string {
	b.count++
	return b.name + "#" + strconv.Itoa(b.count)
}

func (b *mbox) seek(offset int64) {
	b.offset = offset
	section := io.NewSectionReader(b.file, offset, b.size-offset)
	if b.r == nil {
		b.r = bufio.NewReaderSize(section, 64<<10)
		return
	}
	b.r.Reset(section)
}

// line returns the next line, or as much of it as the buffer holds: whole is false if it
// continues. The octets are valid until the next call.
func (b *mbox) line() (line []byte, whole bool, err error) {
	line, err = b.r.ReadSlice('\n')
	b.offset += int64(len(line))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line, false, nil
	case err == io.EOF && len(line) > 0:
		return line, true, nil
	}
	return line, true, err
}

// message reads up to the next From line, and returns that line. The error is io.EOF at the end.
func (b *mbox) message(s *section) (from []byte, err error) {
	for {
		if s.inBody {
			b.text(s)
		}
		line, whole, err := b.line()
		if err != nil {
			s.trim()
			return nil, err
		}
		if s.newLine && b.separates(line) {
			s.trim()
			return line, nil
		}
		header := s.newLine && !s.inBody
		if header && blank(line) {
			s.inBody = true
		}
		s.add(line, b.most)
		s.newLine = whole
		switch {
		case !header:
		case !s.inBody:
			s.contentLength(line)
		case s.length >= 0 && b.endsAfter(s.length):
			if err := b.take(s); err != nil {
				return nil, err
			}
			return b.skipBlank()
		}
	}
}

// text takes the buffered part of a body, up to a line that may be a From line. It may leave a
// few octets, and does not examine the next line.
func (b *mbox) text(s *section) {
	const next = "\n" + fromLine
	at, _ := b.r.Peek(b.r.Buffered())
	if s.newLine && strings.HasPrefix(fromLine, string(at[:min(len(at), len(fromLine))])) {
		return
	}
	n := bytes.Index(at, []byte(next)) + 1
	if n == 0 {
		n = max(0, len(at)-len(next)+1) // the start of one may be here
	}
	if n == 0 {
		return
	}
	s.add(at[:n], b.most)
	s.newLine = at[n-1] == '\n'
	b.r.Discard(n)
	b.offset += int64(n)
}

// add adds a piece of the message.
func (s *section) add(piece []byte, most int64) {
	s.octets += int64(len(piece))
	if s.octets > most {
		s.over, s.data = true, nil
		return
	}
	s.data = append(s.data, piece...)
}

// trim removes the empty line that belongs to the From line after it.
func (s *section) trim() {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if bytes.HasSuffix(s.data, []byte(end)) {
			s.data = s.data[:len(s.data)-len(end)/2]
			return
		}
	}
}

func (s *section) contentLength(line []byte) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !strings.EqualFold(string(bytes.TrimSpace(name)), "Content-Length") {
		return
	}
	if n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 62); err == nil && n >= 0 {
		s.length = n
	}
}

// endsAfter reports whether a message may end after so many octets: the end of the file or a From
// line follows. A Content-Length is only trusted in this case, because many are wrong.
func (b *mbox) endsAfter(octets int64) bool {
	next, last := b.ahead(octets)
	rest := bytes.TrimLeft(next, "\r\n")
	if len(rest) == 0 {
		return last
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return len(rest) < len(next) && b.separates(line)
}

// ahead returns what comes after so many octets; last is set where that is the end of the file.
func (b *mbox) ahead(octets int64) (next []byte, last bool) {
	const most = 1024
	if b.file == nil {
		if octets > streamBuffer-most {
			return nil, false
		}
		at, err := b.r.Peek(int(octets) + most)
		if int64(len(at)) < octets {
			return nil, false
		}
		return at[octets:], errors.Is(err, io.EOF)
	}
	offset := b.offset + octets
	if offset < 0 || offset > b.size {
		return nil, false
	}
	var text [most]byte
	n, _ := b.file.ReadAt(text[:], offset)
	return text[:n], offset+int64(n) == b.size
}

// take reads the body of s.length octets.
func (b *mbox) take(s *section) error {
	if s.octets+s.length > b.most {
		s.over, s.data = true, nil
		return b.skip(s.length)
	}
	start := len(s.data)
	s.data = append(s.data, make([]byte, s.length)...)
	n, err := io.ReadFull(b.r, s.data[start:])
	b.offset += int64(n)
	return err
}

// skip skips so many octets.
func (b *mbox) skip(octets int64) error {
	if b.file != nil {
		b.seek(b.offset + octets)
		return nil
	}
	n, err := b.r.Discard(int(octets)) // within what was looked at
	b.offset += int64(n)
	return err
}

// skipBlank reads up to the From line.
func (b *mbox) skipBlank() (from []byte, err error) {
	for {
		line, _, err := b.line()
		if err != nil || !blank(line) {
			return line, err
		}
	}
}

func blank(line []byte) bool { return len(bytes.TrimRight(line, "\r\n")) == 0 }

func (b *mbox) separates(line []byte) bool {
	return bytes.HasPrefix(line, []byte(fromLine)) && (!b.dated || !FromTime(line).IsZero())
}

// fromForms are the time formats of From lines, without the parts that vary: the weekday and a zone.
var fromForms = []string{"Jan 2 15:04:05 2006", "Jan 2 15:04 2006", "Jan 2 15:04:05 -0700 2006", "Jan 2 15:04:05 2006 -0700"}

// fromText returns a From line without its line ending, or "" if it is longer than any real one.
func fromText(line []byte) string {
	const longest = 1024
	if len(line) > longest {
		return ""
	}
	return strings.TrimRight(string(line), "\r\n")
}

// FromTime reads the time of a From line: "From a@b.test Mon Jan  2 15:04:05 2006". Without a
// zone it is UTC (RFC 4155). It returns the zero time if there is none.
func FromTime(line []byte) time.Time {
	const longest = 1024
	words := strings.Fields(string(line[:min(len(line), longest)]))
	for i := len(words) - 4; i >= 1; i-- {
		if !weekdays[words[i]] {
			continue
		}
		words = words[i+1:]
		if len(words) == 5 && len(words[3]) <= 4 && strings.Trim(words[3], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			words = append(words[:3:3], words[4]) // the name of a zone
		}
		for _, form := range fromForms {
			if t, err := time.Parse(form, strings.Join(words, " ")); err == nil {
				return t.UTC()
			}
		}
		return time.Time{}
	}
	return time.Time{}
}

var weekdays = map[string]bool{"Mon": true, "Tue": true, "Wed": true, "Thu": true, "Fri": true, "Sat": true, "Sun": true}

// Unquoted returns the other variants of a message whose body lines may be quoted: with one ">"
// removed from each ">…From " (mboxrd), and with ">From " alone unquoted (mboxo), if that
// differs. The text does not show what was quoted and what the author wrote, but a signature
// does.
func (m *Message) Unquoted() [][]byte {
	if !m.Mbox {
		return nil
	}
	deep, deepChanged := unquote(m.Raw, true)
	if !deepChanged {
		return nil
	}
	readings := [][]byte{deep}
	if flat, changed := unquote(m.Raw, false); changed && !bytes.Equal(flat, deep) {
		readings = append(readings, flat)
	}
	return readings
}

// unquote removes one ">" from body lines that start with ">From ", and with deep also from
// those with more than one.
func unquote(raw []byte, deep bool) (text []byte, changed bool) {
	if !bytes.Contains(raw, []byte(">"+fromLine)) {
		return raw, false
	}
	inBody := false
	text = make([]byte, 0, len(raw))
	for line := range bytes.Lines(raw) {
		if inBody && quoted(line, deep) {
			line, changed = line[1:], true
		}
		inBody = inBody || blank(line)
		text = append(text, line...)
	}
	return text, changed
}

func quoted(line []byte, deep bool) bool {
	rest, ok := bytes.CutPrefix(line, []byte(">"))
	if deep {
		rest = bytes.TrimLeft(rest, ">")
	}
	return ok && bytes.HasPrefix(rest, []byte(fromLine))
}
