package inbox

import (
	"bytes"
	"path"
	"strings"

	"postseal/authres"
	"postseal/internal/app/mailbox"
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

// header reads the header section of a mail, nil for what is not one. Of a header section that
// cannot be read as a whole it has the fields at its top, where our own are: the mail does not
// pass for a file because of it.
func header(head []byte) *message.Header {
	if bytes.HasPrefix(head, []byte("From ")) {
		_, head, _ = bytes.Cut(head, []byte("\n"))
	}
	name, _, ok := bytes.Cut(head[:min(len(head), 100)], []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n<{\x00") {
		return nil
	}
	h := &message.Header{}
	s := message.NewSplitter(mailbox.HeaderSink{Header: h}, message.Limits{})
	s.Write(message.CRLF(head)) //nolint:errcheck // it ends after the header section, or within it
	s.Close()                   //nolint:errcheck // as above
	return h
}
