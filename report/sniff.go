package report

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"path"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

type content int

const (
	isUnknown content = iota
	isGzip
	isZlib
	isZip
	isBzip2
	isTar
	isBase64
	isUU
	isXML
	isJSON
	isMail
)

func (c content) wraps() bool { return c > isUnknown && c < isXML }

// sniff tells by its first octets what a document is.
func sniff(head []byte) content {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return isGzip
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return isZip
	case len(head) > 10 && string(head[:3]) == "BZh" && string(head[4:10]) == "1AY&SY":
		return isBzip2
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return isTar
	case len(head) > 2 && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (int(head[0])<<8|int(head[1]))%31 == 0 && head[1]&0x20 == 0 && !printable(head):
		return isZlib
	}
	text := head
	for bytes.HasPrefix(text, []byte(bom)) {
		text = text[len(bom):]
	}
	text = bytes.TrimLeft(text, " \t\r\n\x00")
	switch {
	case bytes.HasPrefix(text, []byte("<")):
		return isXML
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")) && bytes.HasPrefix(bytes.TrimLeft(text[1:], " \t\r\n"), []byte("{")):
		return isJSON
	case bytes.HasPrefix(text, []byte("begin ")):
		return isUU
	case looksLikeMail(text):
		return isMail
	case inBase64(text):
		return isBase64
	}
	return isUnknown
}

// bom is the byte order mark in UTF-8.
const bom = "\xef\xbb\xbf"

// wide reports whether text is UTF-16 or UTF-32, by its byte order mark or by the zeros around its first sign.
func wide(head []byte) (encoding.Encoding, bool) {
	if len(head) < 4 {
		return nil, false
	}
	switch sign := func(c byte) bool { return c == '<' || c == '{' }; {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(head, []byte{0, 0, 0xfe, 0xff}):
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM), true
	case sign(head[0]) && head[1] == 0 && head[2] == 0 && head[3] == 0:
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM), true
	case head[0] == 0 && head[1] == 0 && head[2] == 0 && sign(head[3]):
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), true
	case head[0] == 0xff && head[1] == 0xfe && (head[2] != 0 || head[3] != 0), head[0] == 0xfe && head[1] == 0xff:
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), true
	case sign(head[0]) && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), true
	case head[0] == 0 && sign(head[1]) && head[2] == 0 && head[3] != 0:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true
	}
	return nil, false
}

// blanks counts the octets before a document that mean nothing.
func blanks(head []byte) int {
	return len(head) - len(bytes.TrimLeft(bytes.TrimPrefix(head, []byte(bom)), " \t\r\n"))
}

// inBase64 reports whether text is base64 of a container or of a report.
func inBase64(text []byte) bool {
	var compact []byte
	for _, c := range text {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			compact = append(compact, c)
		case c == '\r' || c == '\n':
			continue
		}
		if len(compact) == 64 || c == '=' {
			break
		}
	}
	octets := make([]byte, 48)
	n, err := base64.RawStdEncoding.Decode(octets, compact[:len(compact)/4*4])
	if err != nil || n < 9 {
		return false
	}
	kind := sniff(octets[:n])
	return kind == isGzip || kind == isZip || kind == isXML || kind == isJSON
}

// foreign names what cannot be opened, "" for anything else.
func foreign(head []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"}, {"Rar!\x1a\x07", "a RAR archive"}, {"\xfd7zXZ\x00", "an xz file"}, {"\x28\xb5\x2f\xfd", "a zstd file"},
		{"\x1f\x9d", "a file of compress"}, {"\x78\x9f\x3e\x22", "a TNEF file (winmail.dat)"}, {"-----BEGIN PGP MESSAGE", "a message encrypted with PGP"},
	} {
		if bytes.HasPrefix(bytes.TrimLeft(head, "\r\n"), []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

func printable(head []byte) bool {
	for _, b := range head[:min(len(head), 16)] {
		if b < ' ' && b != '\t' && b != '\r' && b != '\n' || b > '~' {
			return false
		}
	}
	return true
}

// looksLikeMail reports whether the first line is a header field or an mbox From line.
func looksLikeMail(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte(">"))
	if bytes.HasPrefix(text, []byte("From ")) {
		return true
	}
	name, _, ok := bytes.Cut(text, []byte(":"))
	if !ok || len(name) == 0 || len(name) > 76 {
		return false
	}
	for _, b := range bytes.TrimRight(name, " \t") {
		if b != '-' && b != '_' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return false
		}
	}
	return true
}

// tar reads the files of an archive, as zip does.
func (x *input) tar(p place, in io.Reader) error {
	archive, before, read := tar.NewReader(in), x.result, 0
	for {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			if x.result == before {
				return p.refusal(NotAReport, "the tar archive has no report")
			}
			return nil
		case err != nil:
			return x.readError(p, err)
		case h.Typeflag != tar.TypeReg || strings.HasPrefix(path.Base(h.Name), "._"):
			continue
		case read == x.limits.Files:
			return p.refusal(TooMany, "a tar archive of more than %d files: the rest is not read", x.limits.Files)
		}
		read++
		err = x.document(p.into(path.Base(h.Name)), archive)
		if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Fault != NotAReport {
			err = x.refuse(refusal)
		} else if refusal.Fault == NotAReport {
			err = nil
		}
		if err != nil {
			return err
		}
	}
}

// uuReader decodes uuencoded text, line by line.
type uuReader struct {
	in   *bufio.Reader
	rest []byte
	end  bool
}

func newUUReader(in *bufio.Reader) io.Reader { return &uuReader{in: in} }

// Read implements io.Reader.
func (u *uuReader) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		if u.end {
			return 0, io.EOF
		}
		line, err := u.in.ReadSlice('\n')
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return 0, err
		}
		u.line(bytes.TrimRight(line, "\r\n"))
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// line decodes one line: its first character says how many octets it holds.
func (u *uuReader) line(line []byte) {
	u.rest = u.rest[:0]
	switch {
	case bytes.HasPrefix(line, []byte("begin ")), len(line) == 0:
		return
	case string(line) == "end":
		u.end = true
		return
	}
	value := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 0x3f
		}
		return 0
	}
	octets := int(value(0))
	for i := 1; len(u.rest) < octets; i += 4 {
		a, b, c, d := value(i), value(i+1), value(i+2), value(i+3)
		u.rest = append(u.rest, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	u.rest = u.rest[:octets]
}
