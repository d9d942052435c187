package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"postseal/authres"
	"postseal/message"
)

// maxJudged limits a field that is judged as a whole: longer Authentication-Results fields
// cannot be read (docs/reference/limits.md), and count as forged.
const maxJudged = 64 << 10

// dropForged copies the rest of a header section, whose fields were not stored, without those
// that claim to come from the verifiers ids (RFC 8601 §5). It stops where the body starts.
func dropForged(w io.Writer, r *bufio.Reader, ids []string) error {
	for {
		name, ok := nextName(r)
		if !ok {
			return nil
		}
		keep := &judged{w: w, whole: !isJudged(name)}
		if err := copyField(keep, r); err != nil {
			return err
		}
		if err := keep.end(ids); err != nil {
			return err
		}
	}
}

// nextName returns the name of the next field, or false if there is none.
func nextName(r *bufio.Reader) (string, bool) {
	const longest = 998 // RFC 5322 §2.1.1
	start, _ := r.Peek(longest + 1)
	colon := bytes.IndexByte(start, ':')
	if colon < 1 {
		return "", false
	}
	name := strings.TrimRight(string(start[:colon]), " \t")
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c < 33 || c > 126 }) {
		return "", false
	}
	return name, true
}

func isJudged(name string) bool {
	const own = "x-postseal-"
	return strings.EqualFold(name, "Authentication-Results") || strings.EqualFold(name, "Received-SPF") ||
		len(name) >= len(own) && strings.EqualFold(name[:len(own)], own)
}

// copyField copies a field with its continuation lines.
func copyField(w io.Writer, r *bufio.Reader) error {
	for {
		piece, err := r.ReadSlice('\n')
		if len(piece) > 0 {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if next, _ := r.Peek(1); len(next) == 0 || next[0] != ' ' && next[0] != '\t' {
			return nil
		}
	}
}

// judged holds back a field until it is known whether it is forged.
type judged struct {
	w     io.Writer
	whole bool // it cannot be forged, so it is copied immediately
	held  []byte
	long  bool
}

// Write implements io.Writer.
func (j *judged) Write(p []byte) (int, error) {
	switch {
	case j.whole:
		return j.w.Write(p)
	case len(j.held)+len(p) > maxJudged:
		j.long = true
	default:
		j.held = append(j.held, p...)
	}
	return len(p), nil
}

// end writes the field if it is not forged.
func (j *judged) end(ids []string) error {
	if j.whole || j.long {
		return nil
	}
	f, ok := message.ParseField(bytes.TrimSuffix(j.held, []byte("\r\n")))
	if !ok || authres.Forged(f, ids) {
		return nil
	}
	_, err := j.w.Write(j.held)
	return err
}
