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

// errRewrite is a defect of ours: the spool is not the message that was verified.
var errRewrite = errors.New("the spooled message is not the one that was verified")

// changed is a message with its header section and what is to change in it.
type changed struct {
	header  *message.Header
	limited bool   // header ends at a limit, before the end of the header section
	id      string // ours: fields beyond the limit that claim it are left out
	postseal.HeaderChanges
}

// rewrite copies the message of src with its changes: added fields on top, removed ones left
// out, every other octet as it came.
//
// Two things are not passed on, because our fields on top would change how they are read:
// an mbox line before the header section, which the verdict did not see either, and a body
// without the empty line before it, which gets one.
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
		if err := dropForged(w, r, c.id); err != nil {
			return err
		}
	}
	// Beyond a limit the header section goes on: nothing may be put there.
	if next, _ := r.Peek(2); len(next) > 0 && string(next) != "\r\n" && !c.limited {
		if _, err := io.WriteString(w, "\r\n"); err != nil {
			return err
		}
	}
	_, err := r.WriteTo(w)
	return err
}

// maxMboxLine is the longest line that message.Splitter takes for an mbox line.
const maxMboxLine = 1000

// skipMboxLine skips the line that message.Splitter skipped.
func skipMboxLine(r *bufio.Reader, c *changed) error {
	start, _ := r.Peek(maxMboxLine) // less of a short message
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
		return nil // it is the body, or a field that was not kept
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

// removals finds the fields that refs name by name and instance.
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

// headerSink takes a header section and stops.
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
