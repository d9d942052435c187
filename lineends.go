package postseal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"postseal/internal/core/shared"
	"postseal/message"
)

// VerifyReader is Session, Helo and Session.Verify in one. If all line endings of the header
// section are LF, as in files on disk, r is read with CRLF in their place. A mixture is kept
// octet for octet, and the message is refused for it. Session.Verify never changes an octet.
// The error is that of r or ctx, or says what is missing.
func VerifyReader(ctx context.Context, v *Verifier, conn Conn, helo, reversePath string, r io.Reader) (*Report, error) {
	switch {
	case !v.ready():
		return nil, errNoVerifier
	case shared.Absent(r):
		return nil, errNoReader
	case shared.Context(ctx).Err() != nil:
		return nil, ctx.Err()
	}
	s := v.Session(ctx, conn)
	s.Helo(helo)
	return s.Verify(ctx, reversePath, nil, withCRLF(r, v.headerBytes()))
}

var errNoReader = errors.New("postseal: the reader is nil")

// headerBytes bounds what is looked at to tell the form of the line endings.
func (v *Verifier) headerBytes() int {
	if n := v.config.Limits.Header.HeaderBytes; n > 0 {
		return n
	}
	return message.DefaultHeaderBytes
}

// withCRLF reads the header section ahead, up to a bound, and gives r CRLF line endings if it
// has none there.
func withCRLF(r io.Reader, most int) io.Reader {
	in := bufio.NewReader(r)
	var head []byte
	for len(head) <= most {
		line, err := in.ReadSlice('\n')
		head = append(head, line...)
		if bytes.HasSuffix(head, []byte("\r\n")) {
			return io.MultiReader(bytes.NewReader(head), in) // CRLF, or a mixture: as it is
		}
		ended := string(head) == "\n" || bytes.HasSuffix(head, []byte("\n\n"))
		if ended || err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break // the end of the input, or of the header section
		}
	}
	return message.NewCRLFReader(io.MultiReader(bytes.NewReader(head), in))
}
