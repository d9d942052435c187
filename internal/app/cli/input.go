package cli

import (
	"bytes"
	"errors"
	"io"
	"os"

	"postseal/bundle"
	"postseal/internal/app/mailbox"
	"postseal/message"
)

// input is a message that is read once. Its header section has already been inspected; r
// returns the whole message with CRLF line endings.
type input struct {
	name   string
	r      io.Reader
	header *message.Header
	cut    bool     // the input ends in the middle of a header line
	bundle bool     // the input starts like a header field
	line   string   // the From line at its start, as in an mbox file
	doubt  *failure // why it does not look like a message, or nil
	close  func()

	several separator // of the messages in an mbox file
}

const rawUsage = "read the file unchanged: do not convert LF to CRLF"

// open opens path, where "-" is stdin, and checks that it looks like a message. It does not
// read the body.
func (a *app) open(path string, raw bool) (*input, error) {
	in, err := a.openAny(path, raw)
	if err == nil && in.doubt != nil {
		in.close()
		return nil, in.doubt
	}
	return in, err
}

// openAny is like open, but also accepts anything that a mail server would accept.
func (a *app) openAny(path string, raw bool) (*input, error) {
	in := &input{name: path, close: func() {}}
	var r io.Reader = a.stdin
	if path == "-" {
		in.name = "<stdin>"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, openFailure(path, err)
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			f.Close()
			return nil, directory(path)
		}
		r, in.close = f, func() { f.Close() }
	}
	if !raw {
		r = message.NewCRLFReader(r)
	}
	if err := in.peek(r); err != nil {
		in.close()
		return nil, err
	}
	if path == "-" && in.bundle {
		a.hint("%s looks like a bundle but is read as a message: give a bundle as a file", in.name)
	}
	if in.header.Len() == 0 && in.doubt == nil {
		a.hint("%s has no header fields: its first line is empty", in.name)
	}
	return in, nil
}

// peek reads the header section and puts it back in front of r.
func (in *input) peek(r io.Reader) error {
	var seen bytes.Buffer
	in.header = &message.Header{}
	tee := &teeReader{r: r, w: &seen}
	err := message.Stream(mailbox.HeaderSink{Header: in.header}, tee, message.Limits{})
	var limit *message.LimitError
	switch {
	case err == nil, errors.Is(err, mailbox.ErrHeaderEnd), errors.As(err, &limit):
	default:
		return openFailure(in.name, err)
	}
	in.cut = tee.ended && !bytes.HasSuffix(seen.Bytes(), []byte("\n")) && !bytes.Contains(seen.Bytes(), []byte("\r\n\r\n"))
	in.bundle = bundle.Is(seen.Bytes())
	in.r = io.MultiReader(&seen, r)
	if bytes.HasPrefix(seen.Bytes(), mboxLine) {
		in.r = io.TeeReader(in.r, &in.several)
		line, _, _ := bytes.Cut(seen.Bytes(), []byte("\r\n"))
		in.line = string(line)
	}
	return in.check(seen.Bytes(), limit != nil)
}

// check returns an error for input that is certainly not a message. Doubtful input only sets
// doubt: a mail server accepts it, so verify must show its verdict.
func (in *input) check(head []byte, overLimit bool) error {
	switch kind := container(head); {
	case len(head) == 0:
		return failf(exitData, "%s: empty", in.name).or("a message has header fields, at least From and Date")
	case kind != "" && bytes.IndexByte(head[:min(len(head), 4096)], 0) >= 0:
		return failf(exitData, "%s: binary data, not a message", in.name).or("it looks like %s: unpack it first", kind)
	case bytes.IndexByte(head[:min(len(head), 4096)], 0) >= 0:
		in.doubt = failf(exitData, "%s: binary data, not a message", in.name).or("a message is text that begins with header fields such as From: and Date:")
	case in.header.Len() == 0 && !overLimit && !bytes.HasPrefix(head, []byte("\r\n")):
		f := failf(exitData, "%s:1: not a message: no header fields", in.name)
		if in.doubt = f.or("the first line must be a header field such as \"From: someone@example.com\""); bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
			in.doubt = f.or("it begins with a byte order mark, which a message must not have: save it without")
		}
	}
	return nil
}

// mboxLine starts each message of an mbox file (RFC 4155).
var mboxLine = []byte("From ")

// separator finds an mbox line after an empty line: the start of another message.
type separator struct {
	found bool
	tail  []byte // prefixes of such a line
}

// Write implements io.Writer.
func (s *separator) Write(p []byte) (int, error) {
	if s.found {
		return len(p), nil
	}
	const empty, longest = "\r\n\r\n", 1024
	mark := append([]byte(empty), mboxLine...)
	text := append(s.tail, p...)
	for !s.found {
		at := bytes.Index(text, mark)
		if at < 0 {
			text = text[max(0, len(text)-len(mark)+1):]
			break
		}
		line, _, whole := bytes.Cut(text[at+len(empty):], []byte("\r\n"))
		if !whole && len(line) < longest {
			text = text[at:]
			break
		}
		s.found = !mailbox.FromTime(line).IsZero()
		text = text[at+len(mark):]
	}
	s.tail = bytes.Clone(text)
	return len(p), nil
}

// container returns the name of a well-known format that contains mail.
func container(head []byte) string {
	for magic, kind := range map[string]string{"\x1f\x8b": "gzip", "PK\x03\x04": "a zip archive", "BZh": "bzip2",
		"\xfd7zXZ": "xz", "\xd0\xcf\x11\xe0": "an Outlook .msg file", "\x28\xb5\x2f\xfd": "zstd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return kind
		}
	}
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return "UTF-16 text"
	}
	return ""
}

// teeReader is an io.TeeReader that records whether it reached the end.
type teeReader struct {
	r     io.Reader
	w     *bytes.Buffer
	ended bool
}

// Read implements io.Reader.
func (t *teeReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.w.Write(p[:n])
	t.ended = err == io.EOF
	return n, err
}
