package inbox

import (
	"bytes"
	"path"
	"strings"

	"postseal/authres"
	"postseal/message"
)

// cutLast splits s around the last sep.
func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// receiver is the reporter that the name of an attachment tells (RFC 9990 §3.5.2), the last part
// of the source of a report.
func receiver(source string) string {
	parts := strings.Split(source, ", ")
	for i := len(parts) - 1; i >= 0; i-- {
		if name, _, ok := strings.Cut(path.Base(parts[i]), "!"); ok {
			return name
		}
	}
	return ""
}

// MaxHead is how many octets of a mail CarrierOf looks at.
const MaxHead = 256 << 10

// CarrierOf reads from the beginning of a stored mail what our own server said about it: the
// Authentication-Results of authservID. The zero Carrier is for what is not a mail.
func CarrierOf(head []byte, authservID string) Carrier {
	h := header(head)
	if h == nil {
		return Carrier{}
	}
	c := Carrier{Mail: true}
	if a := message.FindAuthor(h); len(a.Domains) == 1 {
		c.Domain = string(a.Domains[0])
	}
	for i := range h.Len() {
		f := h.At(i)
		if authservID == "" || !f.Is("Authentication-Results") {
			continue
		}
		x, err := authres.Parse(f.Value())
		if err != nil || !strings.EqualFold(x.AuthservID, authservID) {
			continue
		}
		for _, r := range x.Results {
			if r.Method == "dmarc" {
				c.DMARC = r.Value
			}
		}
		return c // ours is the first: those below may be anyone's
	}
	return c
}

// header reads the header section of a mail, nil where there is none.
func header(head []byte) *message.Header {
	if bytes.HasPrefix(head, []byte("From ")) {
		_, head, _ = bytes.Cut(head, []byte("\n"))
	}
	name, _, ok := bytes.Cut(head[:min(len(head), 100)], []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n<{\x00") {
		return nil
	}
	sink := &headerSink{}
	s := message.NewSplitter(sink, message.Limits{})
	if _, err := s.Write(crlf(head)); err != nil {
		return nil
	}
	s.Close() //nolint:errcheck // what is cut off is the body, or a header section that is too long
	return &sink.h
}

// headerSink keeps header fields alone.
type headerSink struct{ h message.Header }

// Field implements message.Sink.
func (s *headerSink) Field(f message.Field) error {
	s.h.Add(f)
	return nil
}

// EndHeader implements message.Sink.
func (s *headerSink) EndHeader() error { return nil }

// Write implements message.Sink.
func (s *headerSink) Write(p []byte) (int, error) { return len(p), nil }

// crlf gives lines the ends that the splitter wants.
func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
