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
	if head, _ := in.Peek(len(bom)); string(head) == bom {
		in.Discard(len(bom)) //nolint:errcheck // they were peeked
	}
	if from, _ := in.Peek(6); bytes.HasPrefix(bytes.TrimPrefix(from, []byte(">")), []byte("From ")) {
		if _, err := in.ReadSlice('\n'); err != nil {
			return p.refusal(NotAReport, "not a report: text that begins with \"From \"")
		}
	}
	if p.mails++; p.mails > x.limits.MailDepth {
		return p.refusal(Nesting, "mails within mails: more than %d", x.limits.MailDepth)
	}
	p.inMail = true
	h, _, err := readHeader(in)
	if err != nil {
		return x.mailError(p, err, "the header of the mail is damaged")
	}
	return x.entity(p, &h, in)
}

// maxHeader bounds the header section of a mail, in octets.
const maxHeader = 1 << 20

// readHeader reads a header section as far as it is one: lines that are not a field are left out and
// counted. It ends with an empty line, or before the first boundary.
func readHeader(in *bufio.Reader) (h textproto.Header, odd int, err error) {
	var text bytes.Buffer
	field := false // the last line was kept
	for text.Len() < maxHeader {
		if head, _ := in.Peek(2); string(head) == "--" {
			break
		}
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return h, odd, err
		}
		blank := len(bytes.TrimRight(line, "\r\n")) == 0
		switch folded := !blank && (line[0] == ' ' || line[0] == '\t'); {
		case blank && errors.Is(err, io.EOF), blank:
			return endHeader(&text, odd)
		case folded && field, !folded && isField(line):
			field = true
			text.Write(line)
		default:
			field = false
			odd++
		}
		for errors.Is(err, bufio.ErrBufferFull) && text.Len() < maxHeader { // the rest of a long line
			if line, err = in.ReadSlice('\n'); field {
				text.Write(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return endHeader(&text, odd)
		}
	}
	if text.Len() >= maxHeader {
		return h, odd, errLongHeader
	}
	return endHeader(&text, odd)
}

var errLongHeader = errors.New("it is larger than 1 MiB")

func endHeader(text *bytes.Buffer, odd int) (textproto.Header, int, error) {
	text.WriteString("\r\n\r\n")
	h, err := textproto.ReadHeader(bufio.NewReader(text))
	return h, odd, err
}

// isField reports whether a line begins a field (RFC 5322 §2.2).
func isField(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	return ok && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f })
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
	if strings.HasPrefix(media, "multipart/") {
		in := bufio.NewReaderSize(body, preamble)
		if boundary := findBoundary(in, strings.TrimRight(params["boundary"], " ")); boundary != "" {
			body = in
			if mixedEnds(in, boundary) {
				body = &lineFeeds{in: in}
			}
			return x.multipart(p, boundary, body)
		}
		body = in
	}
	if x.parts++; x.parts > x.limits.Parts {
		return p.refusal(TooMany, "a mail of more than %d parts", x.limits.Parts)
	}
	content := bufio.NewReader(decodeTransfer(h, bufio.NewReader(body)))
	p = p.into(partName(h, params))
	p.charset = params["charset"]
	err := x.part(p, media, content)
	if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Fault == NotAReport {
		return nil
	}
	return err
}

// preamble is how much of a multipart is looked at for its first boundary, in octets.
const preamble = 32 << 10

// findBoundary returns the boundary of a multipart. Where the parts have another one than its
// Content-Type says, or that says none, it is the one of the first line that looks like one.
func findBoundary(in *bufio.Reader, named string) string {
	head, _ := in.Peek(preamble)
	found := ""
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, " \t\r\n")
		text, ok := bytes.CutPrefix(line, []byte("--"))
		switch {
		case !ok || len(text) == 0 || len(text) > 70:
		case string(text) == named:
			return named
		case found == "" && !bytes.ContainsAny(text, " \t"):
			found = string(text)
		}
	}
	if found != "" && (named == "" || len(head) < preamble) {
		return found
	}
	return named
}

// mixedEnds reports whether some boundaries end in CRLF and others in LF alone, as after a program
// that wrote into the mail with other line endings.
func mixedEnds(in *bufio.Reader, boundary string) bool {
	head, _ := in.Peek(preamble)
	plain, crlf := 0, 0
	for line := range bytes.Lines(head) {
		switch text, ok := strings.CutPrefix(string(line), "--"+boundary); {
		case !ok:
		case strings.HasSuffix(text, "\r\n"):
			crlf++
		case strings.HasSuffix(text, "\n"):
			plain++
		}
	}
	return plain > 0 && crlf > 0
}

// lineFeeds turns each CRLF into a LF.
type lineFeeds struct{ in *bufio.Reader }

// Read implements io.Reader.
func (l *lineFeeds) Read(p []byte) (int, error) {
	for n := range p {
		b, err := l.in.ReadByte()
		if err == nil && b == '\r' {
			if next, _ := l.in.Peek(1); string(next) == "\n" {
				b, err = l.in.ReadByte()
			}
		}
		if err != nil {
			return n, err
		}
		p[n] = b
	}
	return len(p), nil
}

// part reads a leaf of a mail.
func (x *input) part(p place, media string, in *bufio.Reader) error {
	head, _ := in.Peek(512)
	feedback := isFeedback(head)
	switch {
	case media == feedbackType, feedback:
		return x.failure(p, media, in)
	case (media == "application/pkcs7-mime" || media == "application/x-pkcs7-mime") && sniff(head) == isUnknown:
		return p.refusal(Encrypted, "an S/MIME message that is encrypted, or signed in a form that hides its content")
	case media == "message/rfc822", media == "message/global":
		return x.mail(p, in)
	case sniff(head) == isMail && strings.HasPrefix(media, "text/") && !strings.Contains("\n"+strings.ToLower(string(head)), "\nmime-version:"):
		return p.refusal(NotAReport, "text")
	}
	return x.unwrap(p, in)
}

// feedbackType is the media type of a feedback report (RFC 5965 §2).
const feedbackType = "message/feedback-report"

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

// multipart reads each part. The original message of a failure report, of a delivery status
// notification or of a receipt is not looked into: that may be one of our own reports.
func (x *input) multipart(p place, boundary string, body io.Reader) error {
	if p.mails++; p.mails > x.limits.MailDepth {
		return p.refusal(Nesting, "multiparts within multiparts: more than %d", x.limits.MailDepth)
	}
	parts := textproto.NewMultipartReader(body, boundary)
	returned := false
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
		if returned && (strings.HasPrefix(media, "message/") || media == "text/rfc822-headers") {
			continue
		}
		returned = returned || media == feedbackType || media == "message/delivery-status" || media == "message/disposition-notification"
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

// decodeTransfer takes the Content-Transfer-Encoding off. What is said to be base64 and is plainly
// something else stays as it is.
func decodeTransfer(h *textproto.Header, body *bufio.Reader) io.Reader {
	encoding, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Transfer-Encoding")), "(")
	switch strings.Trim(encoding, " \t\"';") {
	case "base64", "b64":
		head, _ := body.Peek(16)
		if kind := sniff(head); kind == isGzip || kind == isZip || kind == isXML {
			return body
		}
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
