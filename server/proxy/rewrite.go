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

// rewrite copies the message of src with the header changes of its verdict: added fields
// on top, removed ones left out, every other octet as it came.
//
// Two things are not passed on, because our fields on top would change how they are read:
// an mbox line before the header section, which the verdict did not see either, and a body
// without the empty line before it, which gets one.
func rewrite(w io.Writer, src io.Reader, report *postseal.Report) error {
	r := bufio.NewReaderSize(src, readBuffer)
	header := report.Header()
	if err := skipMboxLine(r, report); err != nil {
		return err
	}
	if err := addFields(w, report.Headers.Add); err != nil {
		return err
	}
	removed := removals(header, report.Headers.Remove)
	for i := range header.Len() {
		field, err := takeField(r, header.At(i).Raw)
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
	// Beyond a limit the header section goes on: nothing may be put there.
	if next, _ := r.Peek(2); len(next) > 0 && string(next) != "\r\n" && report.Limit() == "" {
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
func skipMboxLine(r *bufio.Reader, report *postseal.Report) error {
	start, _ := r.Peek(maxMboxLine) // less of a short message
	if !bytes.HasPrefix(start, []byte("From ")) && !bytes.HasPrefix(start, []byte(">From ")) {
		return nil
	}
	lf := bytes.IndexByte(start, '\n')
	if header := report.Header(); header.Len() > 0 {
		first := header.At(0).Raw
		if bytes.HasPrefix(start, first[:min(len(first), maxMboxLine)]) {
			return nil // "From : a@b.test" is a field
		}
	} else if lf < 0 || report.Limit() != "" {
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
