package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"postseal/internal/core/bodyhash"
)

// bodyChange finds the body that bh= was made of.
func (p *patient) bodyChange() Diagnosis {
	for _, try := range []func() (Diagnosis, bool){p.length, p.footer, p.banner, p.wrapped, p.rewritten} {
		if d, ok := try(); ok {
			return d
		}
	}
	return Diagnosis{Cause: UnknownCause, Text: "the header section is as it was signed, and the body is another; no change that was tried explains it"}
}

// signed reports whether body is the one that was signed, as far as l= says.
func (p *patient) signed(body []byte, limit int64) bool {
	if p.hashed += int64(len(body)); p.hashed > maxHashed {
		return false
	}
	var set bodyhash.Set
	i := set.Request(p.field.BodyCanonical, limit)
	set.Write(body)
	set.Close()
	sum, inside := set.Sum(i)
	return inside && bytes.Equal(sum[:], p.field.BodyHash)
}

// length: bh= is that of the whole body, and l= says something else.
func (p *patient) length() (Diagnosis, bool) {
	if p.field.Length == bodyhash.NoLimit || !p.signed(p.body, bodyhash.NoLimit) {
		return Diagnosis{}, false
	}
	return Diagnosis{Cause: LengthWrong, Text: fmt.Sprintf("l=%d is wrong: the body is as it was signed", p.field.Length)}, true
}

// maxFooterLines is how many lines at the end of a body may have been added.
const maxFooterLines = 400

// footer hashes the body once and looks at each line ending near its end.
func (p *patient) footer() (Diagnosis, bool) {
	if p.field.Length != bodyhash.NoLimit {
		return Diagnosis{}, false // what is added after l= breaks nothing
	}
	all := countLines(p.body)
	first := max(0, all-maxFooterLines)
	hash := sha256.New()
	p.hashed += int64(len(p.body))
	blank, start := 0, 0
	for n := range all {
		end := lineEnd(p.body, start)
		line := canonicalLine(p.field.BodyCanonical, p.body[start:end])
		start = end
		if len(line) == 0 {
			blank++
			continue
		}
		for ; blank > 0; blank-- {
			io.WriteString(hash, "\r\n")
		}
		hash.Write(line)
		io.WriteString(hash, "\r\n")
		if n < first || n == all-1 {
			continue
		}
		if bytes.Equal(hash.Sum(nil), p.field.BodyHash) {
			added := all - 1 - n
			return Diagnosis{Cause: ListFooter, Text: fmt.Sprintf("%d octets in %s were added at the end, after line %d: they look like a list footer",
				len(p.body)-end, lines(added), n+1)}, true
		}
	}
	return Diagnosis{}, false
}

func lines(n int) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

// countLines is the number of lines, one without CRLF at the end included.
func countLines(body []byte) int {
	n := bytes.Count(body, []byte("\r\n"))
	if len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
		n++
	}
	return n
}

// lineEnd is the offset after the CRLF that ends the line at start, or the end of the body.
func lineEnd(body []byte, start int) int {
	i := bytes.Index(body[start:], []byte("\r\n"))
	if i < 0 {
		return len(body)
	}
	return start + i + 2
}

// canonicalLine is a line without its end (RFC 6376 §3.4.3, §3.4.4).
func canonicalLine(c bodyhash.Canonicalization, line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\r\n"))
	if c == bodyhash.Simple {
		return line
	}
	b := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != ' ' && line[i] != '\t' {
			b = append(b, line[i])
			continue
		}
		for i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') {
			i++
		}
		b = append(b, ' ')
	}
	return bytes.TrimSuffix(b, []byte{' '})
}

// maxBannerLines is how many lines at the start of a body may have been added.
const maxBannerLines = 30

// banner omits first lines, as gateways put them there ("This mail is from outside").
func (p *patient) banner() (Diagnosis, bool) {
	rest := p.body
	for n := 1; n <= maxBannerLines; n++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if rest = rest[i+1:]; p.signed(rest, p.field.Length) {
			return Diagnosis{Cause: ListFooter, Text: fmt.Sprintf("%s were added at the beginning of the body: they look like a banner", lines(n))}, true
		}
	}
	return Diagnosis{}, false
}

// parts are the raw contents of the parts of a multipart body.
func (p *patient) parts() [][]byte {
	i := p.h.Index("Content-Type")
	if i < 0 {
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(unfold(string(p.h.At(i).Value())))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || parameters["boundary"] == "" {
		return nil
	}
	const most = 20
	pieces := bytes.SplitN(append([]byte("\r\n"), p.body...), []byte("\r\n--"+parameters["boundary"]), most+2)
	var parts [][]byte
	for _, piece := range pieces[1:] {
		_, content, ok := bytes.Cut(piece, []byte("\r\n\r\n"))
		if ok {
			parts = append(parts, content)
		}
	}
	return parts
}

func unfold(v string) string { return strings.NewReplacer("\r\n", "").Replace(v) }

// wrapped: the body became one part of a multipart message, as Mailman does to add a footer.
func (p *patient) wrapped() (Diagnosis, bool) {
	for _, content := range p.parts() {
		for _, body := range [][]byte{append(bytes.Clone(content), '\r', '\n'), content} {
			if p.signed(body, p.field.Length) {
				return Diagnosis{Cause: ListFooter, Text: "the body was made a part of a multipart message"}, true
			}
		}
	}
	return Diagnosis{}, false
}

// rewriting is one way in which a body is written again.
type rewriting struct {
	cause Cause
	text  string
	undo  func([]byte) []byte
}

var rewritings = []rewriting{
	{Refolded, `lines that begin with "From " were changed to ">From ", as mail stores do`, func(b []byte) []byte {
		if bytes.HasPrefix(b, []byte(">")) {
			return bytes.ReplaceAll(b[1:], []byte("\n>From "), []byte("\nFrom "))
		}
		return replaced(b, "\n>From ", "\nFrom ")
	}},
	{Refolded, `the "." that SMTP adds to lines was not removed`, func(b []byte) []byte { return replaced(b, "\n..", "\n.") }},
	{Refolded, `a "." at the start of lines was removed`, func(b []byte) []byte { return replaced(b, "\n.", "\n..") }},
	{Refolded, "line endings were written as CR CR LF", func(b []byte) []byte { return replaced(b, "\r\r\n", "\r\n") }},
	{Refolded, "bare line feeds became line endings, or line endings bare line feeds", func(b []byte) []byte { return replaced(b, "\r\n", "\n") }},
	{Refolded, "white space at the end of lines was added", trimLines},
	{Refolded, "tabs became spaces", func(b []byte) []byte { return replaced(b, "        ", "\t") }},
	{Refolded, "the last line ending is missing", func(b []byte) []byte { return append(bytes.Clone(b), '\r', '\n') }},
	{Recoded, "the body was recoded to quoted-printable after signing", func(b []byte) []byte {
		if !bytes.Contains(b, []byte("=")) {
			return nil
		}
		out, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
		if err != nil {
			return nil
		}
		return crlf(out)
	}},
	{Recoded, "the body was recoded from quoted-printable after signing", func(b []byte) []byte {
		var out bytes.Buffer
		w := quotedprintable.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}},
	{Recoded, "the body was recoded to base64 after signing", func(b []byte) []byte {
		if bytes.ContainsAny(b, " \t") {
			return nil
		}
		out, err := base64.StdEncoding.AppendDecode(nil, b)
		if err != nil {
			return nil
		}
		return crlf(out)
	}},
	{Recoded, "the body was recoded from base64 after signing", inBase64},
	{Recoded, "the body was recoded from base64 after signing, and its line endings were changed", func(b []byte) []byte {
		return inBase64(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))
	}},
	{Recoded, "the body was recoded from UTF-8 to ISO 8859-1, or the other way", latin},
}

// replaced is b with every old replaced, or nil where there is none.
func replaced(b []byte, old, new string) []byte {
	if !bytes.Contains(b, []byte(old)) {
		return nil
	}
	return bytes.ReplaceAll(b, []byte(old), []byte(new))
}

func (p *patient) rewritten() (Diagnosis, bool) {
	for _, r := range rewritings {
		if body := r.undo(p.body); body != nil && p.signed(body, p.field.Length) {
			return Diagnosis{Cause: r.cause, Text: r.text}, true
		}
	}
	return Diagnosis{}, false
}

func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

func trimLines(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for line := range bytes.SplitAfterSeq(b, []byte("\r\n")) {
		ended := bytes.HasSuffix(line, []byte("\r\n"))
		out = append(out, bytes.TrimRight(line, " \t\r\n")...)
		if ended {
			out = append(out, '\r', '\n')
		}
	}
	return out
}

// inBase64 is b in lines of 76 characters (RFC 2045 §6.8).
func inBase64(b []byte) []byte {
	const octets = 57 // of a line
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))+2*(len(b)/octets+1))
	for len(b) > octets {
		out = append(base64.StdEncoding.AppendEncode(out, b[:octets]), '\r', '\n')
		b = b[octets:]
	}
	return append(base64.StdEncoding.AppendEncode(out, b), '\r', '\n')
}

// latin reads b as ISO 8859-1 when it is not UTF-8, and as UTF-8 when it can be written in ISO
// 8859-1.
func latin(b []byte) []byte {
	if !bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return nil
	}
	text := string(b)
	if !utf8.ValidString(text) {
		var out strings.Builder
		for _, c := range b {
			out.WriteRune(rune(c))
		}
		return []byte(out.String())
	}
	out := make([]byte, 0, len(b))
	for _, r := range text {
		if r > 0xff {
			return nil
		}
		out = append(out, byte(r))
	}
	return out
}
