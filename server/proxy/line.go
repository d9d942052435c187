package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is the maximum length of a line with its CRLF: RFC 5321 §4.5.3.1.4 requires 512
// octets and more with each extension, RFC 4954 §4 12288 in an AUTH exchange.
const (
	maxLine    = 12288 + 2
	readBuffer = 16 << 10 // large enough for any line
)

// The errors of a line.
var (
	errLineTooLong = errors.New("line too long")
	errBareCR      = errors.New("bare CR")
	errBareLF      = errors.New("bare LF")
	errNUL         = errors.New("NUL")
)

// readLine reads one line that ends with CRLF and nothing else (RFC 5321 §2.3.8), and returns
// it without the CRLF. r has a buffer of readBuffer octets. It does not look for the end of a
// line that is too long: the caller closes the connection.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > maxLine:
		return "", errLineTooLong
	case err == io.EOF && len(line) > 0:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	text, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	switch {
	case bytes.IndexByte(text, '\r') >= 0:
		return "", errBareCR
	case !crlf:
		return "", errBareLF
	}
	return string(text), nil
}
