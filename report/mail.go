package report

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"github.com/emersion/go-message/textproto"
)

// mail reads the reports that are parts of a mail, whatever their media type says. A mail
// without a report is ignored; a mail that is not one is refused.
func (x *input) mail(p place, in *bufio.Reader) error {
	if from, _ := in.Peek(5); string(from) == "From " {
		if _, err := in.ReadSlice('\n'); err != nil {
			return p.refusal(NotAReport, "not a report: text that begins with \"From \"")
		}
	}
	if p.mails++; p.mails > x.limits.MailDepth {
		return p.refusal(Nesting, "mails within mails: more than %d", x.limits.MailDepth)
	}
	p.inMail = true
	h, err := textproto.ReadHeader(in)
	if err != nil {
		return x.mailError(p, err, "the header of the mail is damaged")
	}
	return x.entity(p, &h, in)
}

// mailError is what a damaged mail comes to.
func (x *input) mailError(p place, err error, detail string) error {
	if err = x.readError(p, err); x.ctx.Err() != nil {
		return err
	}
	if refusal := new(Refusal); errors.As(err, &refusal) {
		return err
	}
	return p.refusal(NotAReport, "%s: %s", detail, clean(err.Error()))
}

// entity reads a mail or a part of one.
func (x *input) entity(p place, h *textproto.Header, body io.Reader) error {
	media, params := mediaType(h)
	if boundary := params["boundary"]; strings.HasPrefix(media, "multipart/") && boundary != "" {
		return x.multipart(p, boundary, body)
	}
	if x.parts++; x.parts > x.limits.Parts {
		return p.refusal(TooMany, "a mail of more than %d parts", x.limits.Parts)
	}
	content := bufio.NewReader(decodeTransfer(h, body))
	p = p.into(partName(h, params))
	err := x.part(p, media, content)
	if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Fault == NotAReport {
		return nil
	}
	return err
}

// part reads a leaf of a mail.
func (x *input) part(p place, media string, in *bufio.Reader) error {
	head, _ := in.Peek(512)
	feedback := isFeedback(head)
	switch {
	case media == "message/feedback-report", feedback:
		return x.failure(p, media, in)
	case media == "message/rfc822", media == "message/global":
		return x.mail(p, in)
	case sniff(head) == isMail && strings.HasPrefix(media, "text/"):
		return p.refusal(NotAReport, "text")
	}
	return x.unwrap(p, in)
}

// isFeedback reports whether text begins with fields of a feedback report (RFC 5965 §3.1).
func isFeedback(head []byte) bool {
	for line := range bytes.Lines(bytes.TrimLeft(head, "\r\n")) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(bytes.TrimSpace(name), " \t") {
			return false
		}
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("Feedback-Type")) {
			return true
		}
	}
	return false
}

// multipart reads each part. The original message of a failure report is not looked into.
func (x *input) multipart(p place, boundary string, body io.Reader) error {
	if p.mails++; p.mails > x.limits.MailDepth {
		return p.refusal(Nesting, "multiparts within multiparts: more than %d", x.limits.MailDepth)
	}
	parts := textproto.NewMultipartReader(body, boundary)
	feedback := false
	for n := 0; ; n++ {
		if n > x.limits.Parts {
			return p.refusal(TooMany, "a mail of more than %d parts", x.limits.Parts)
		}
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) || err != nil && n > 0 && x.ctx.Err() == nil {
			return nil // RFC 2046 §5.1.1 wants a closing boundary; what came before it counts
		}
		if err != nil {
			return x.mailError(p, err, "the parts of the mail are damaged")
		}
		media, _ := mediaType(&part.Header)
		if feedback && (strings.HasPrefix(media, "message/") || media == "text/rfc822-headers") {
			continue
		}
		feedback = feedback || media == "message/feedback-report"
		if err := x.entityAlone(p, &part.Header, part); err != nil {
			return err
		}
	}
}

// entityAlone is entity for one of several: that one is refused does not end the others.
func (x *input) entityAlone(p place, h *textproto.Header, body io.Reader) error {
	err := x.entity(p, h, body)
	if refusal := new(Refusal); errors.As(err, &refusal) {
		return x.refuse(refusal)
	}
	return err
}

// mediaType reads Content-Type as far as it can be read, in any of its misspellings.
func mediaType(h *textproto.Header) (media string, params map[string]string) {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && media == "" {
		media, _, _ = strings.Cut(h.Get("Content-Type"), ";")
	}
	return strings.ToLower(strings.TrimSpace(media)), params
}

// partName is the file name of a part, "" if it has none.
func partName(h *textproto.Header, params map[string]string) string {
	_, disposition, _ := mime.ParseMediaType(h.Get("Content-Disposition")) //nolint:errcheck // then there is no name
	for _, name := range []string{disposition["filename"], params["name"]} {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(name); err == nil && decoded != "" {
			return decoded
		}
	}
	return ""
}

// decodeTransfer takes the Content-Transfer-Encoding off.
func decodeTransfer(h *textproto.Header, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, &alphabet{in: body})
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// alphabet passes the characters of base64 on and drops all others (RFC 2045 §6.8). Padding
// ends the text, and is made up when it is missing.
type alphabet struct {
	in    io.Reader
	count int // characters passed on
	end   bool
}

// Read implements io.Reader.
func (a *alphabet) Read(p []byte) (int, error) {
	if a.end {
		return a.pad(p)
	}
	n, err := a.in.Read(p)
	kept := 0
	for _, c := range p[:n] {
		switch {
		case c == '=':
			a.end = true
		case a.end:
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			p[kept] = c
			kept++
		}
	}
	a.count += kept
	if errors.Is(err, io.EOF) {
		a.end, err = true, nil
	}
	return kept, err
}

// pad completes the last group of four. A single character left over is not an octet: it is
// completed to one.
func (a *alphabet) pad(p []byte) (int, error) {
	missing := (4 - a.count%4) % 4
	if missing == 0 || len(p) == 0 {
		return 0, io.EOF
	}
	a.count++
	if missing == 3 {
		p[0] = 'A'
	} else {
		p[0] = '='
	}
	return 1, nil
}
