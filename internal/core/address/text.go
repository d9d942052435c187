package address

import (
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DecodeText makes the value of a field such as Subject, or a display name, fit for
// people: encoded words (RFC 2047) are decoded, folds and runs of white space become
// one space, control and formatting characters are removed, invalid UTF-8 becomes
// U+FFFD. The result has at most max octets. An encoded word of an unknown charset
// keeps its ASCII characters. It is for display only: never compare it.
func DecodeText(value []byte, max int) string {
	if max <= 0 {
		return ""
	}
	cut := len(value)
	if bound := 16 * (max + 64); bound/16 == max+64 && cut > bound {
		cut = bound // more cannot come out
	}
	text := strings.ToValidUTF8(string(value[:cut]), "\uFFFD")
	text = strings.NewReplacer("\r", "", "\n", "").Replace(text)
	decoder := mime.WordDecoder{CharsetReader: unknownCharset}
	if decoded, err := decoder.DecodeHeader(text); err == nil {
		text = decoded
	}
	return clean(text, max)
}

// unknownCharset reads the charsets that the standard library does not know: the
// octets that are ASCII in nearly all of them.
func unknownCharset(_ string, r io.Reader) (io.Reader, error) {
	in, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, c := range in {
		if c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			b.WriteRune(utf8.RuneError)
		}
	}
	return strings.NewReader(b.String()), nil
}

func clean(text string, max int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			continue
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > max {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
