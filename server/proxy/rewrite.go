package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"postseal"
	"postseal/message"
)

// errRewrite reports a bug in postseal: the spool does not contain the message that was verified.
var errRewrite = errors.New("the spooled message is not the one that was verified")

// changed is a message with its header section and the changes to it.
type changed struct {
	header  *message.Header
	limited bool     // header ends at a limit, before the end of the header section
	ids     []string // our authserv-ids: fields over the limit that claim one are omitted
	postseal.HeaderChanges
}

// rewrite copies the message from src with its changes: added fields on top, removed ones
// omitted, every other octet unchanged.
//
// Two things are changed because our fields on top would alter how they are read: an mbox line
// before the header section, which the verdict ignored too, is removed, and a body without the
// empty line before it gets one.
func rewrite(w io.Writer, src io.Reader, c *changed) error {
	r := bufio.NewReaderSize(src, readBuffer)
	if err := skipMboxLine(r, c); err != nil {
		return err
	}
	if err := addFields(w, c.Add); err != nil {
		return err
	}
	removed := removals(c.header, c.Remove)
	for i := range c.header.Len() {
		field, err := takeField(r, c.header.At(i).Raw)
		if err != nil {
			return err
		}
		if removed[i] {
			continue
		}
		if _, err := w.Write(field); err != nil {
			return err
		}
	}
	if c.limited {
		if err := dropForged(w, r, c.ids); err != nil {
			return err
		}
	}
	// After a limit the header section continues, so nothing may be inserted there.
	if next, _ := r.Peek(2); len(next) > 0 && string(next) != "\r\n" && !c.limited {
		if _, err := io.WriteString(w, "\r\n"); err != nil {
			return err
		}
	}
	_, err := r.WriteTo(w)
	return err
}

// maxMboxLine is the longest line that message.Splitter accepts as an mbox line.
const maxMboxLine = 1000

// skipMboxLine skips the line that message.Splitter skipped.
func skipMboxLine(r *bufio.Reader, c *changed) error {
	start, _ := r.Peek(maxMboxLine) // fewer for a short message
	if !bytes.HasPrefix(start, []byte("From ")) && !bytes.HasPrefix(start, []byte(">From ")) {
		return nil
	}
	lf := bytes.IndexByte(start, '\n')
	if c.header.Len() > 0 {
		first := c.header.At(0).Raw
		if bytes.HasPrefix(start, first[:min(len(first), maxMboxLine)]) {
			return nil // "From : a@b.test" is a field
		}
	} else if lf < 0 || c.limited {
		return nil // it is the body, or a field that was not stored
	}
	_, err := r.Discard(lf + 1)
	return err
}

// takeField reads a field and compares it with what was verified.
func takeField(r *bufio.Reader, want []byte) ([]byte, error) {
	got := make([]byte, len(want)+2)
	if _, err := io.ReadFull(r, got); err != nil {
		return nil, errRewrite
	}
	if !bytes.Equal(got[:len(want)], want) || string(got[len(want):]) != "\r\n" {
		return nil, errRewrite
	}
	return got, nil
}

func addFields(w io.Writer, fields []postseal.HeaderField) error {
	for _, f := range fields {
		if _, err := io.WriteString(w, f.Name+":"+f.Value+"\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// removals returns the fields that refs identify by name and instance.
func removals(header *message.Header, refs []postseal.HeaderRef) map[int]bool {
	wanted := map[postseal.HeaderRef]bool{}
	for _, ref := range refs {
		wanted[postseal.HeaderRef{Name: strings.ToLower(ref.Name), Index: ref.Index}] = true
	}
	removed := map[int]bool{}
	if len(refs) == 0 {
		return removed
	}
	seen := map[string]int{}
	for i := range header.Len() {
		name := strings.ToLower(string(header.At(i).Name()))
		seen[name]++
		removed[i] = wanted[postseal.HeaderRef{Name: name, Index: seen[name]}]
	}
	return removed
}

// headerOf reads the header section of a message within the limits.
func headerOf(r io.Reader, limits message.Limits) (*message.Header, error) {
	h := &headerSink{}
	err := message.Stream(h, r, limits)
	if errors.Is(err, errHeaderEnd) {
		err = nil
	}
	return &h.header, err
}

var errHeaderEnd = errors.New("the header section ends")

// headerSink reads a header section and stops.
type headerSink struct{ header message.Header }

// Field implements message.Sink.
func (h *headerSink) Field(f message.Field) error {
	h.header.Add(f)
	return nil
}

// EndHeader implements message.Sink.
func (h *headerSink) EndHeader() error { return errHeaderEnd }

// Write implements message.Sink.
func (h *headerSink) Write([]byte) (int, error) { return 0, errHeaderEnd }
