package postseal

import (
	"errors"
	"io"

	"postseal/message"
)

// MessageWriter takes the octets of the whole message, with CRLF line ends, in pieces of
// any size, for those who do not get its header fields one by one. Close ends the message.
// A header section beyond a limit ends in the verdict, not in an error.
func (t *Transaction) MessageWriter() io.WriteCloser {
	t.splitter = *message.NewSplitter(t, t.v.config.Limits.Header)
	return messageWriter{t}
}

type messageWriter struct{ t *Transaction }

// Write implements io.Writer.
func (w messageWriter) Write(p []byte) (int, error) {
	if w.t.limit != "" {
		return len(p), nil
	}
	if _, err := w.t.splitter.Write(p); err != nil {
		return len(p), w.outcome(err)
	}
	return len(p), nil
}

// Close implements io.Closer.
func (w messageWriter) Close() error {
	if w.t.limit != "" {
		return nil
	}
	return w.outcome(w.t.splitter.Close())
}

func (w messageWriter) outcome(err error) error {
	var limit *message.LimitError
	if errors.As(err, &limit) {
		w.t.limit = limit.Reason
		return nil
	}
	return err
}
