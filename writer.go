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
	return &messageWriter{t, message.NewSplitter(t, t.v.config.Limits.Header)}
}

type messageWriter struct {
	t        *Transaction
	splitter *message.Splitter
}

// Write implements io.Writer.
func (w *messageWriter) Write(p []byte) (int, error) {
	if w.t.limit != "" {
		return len(p), nil
	}
	if _, err := w.splitter.Write(p); err != nil {
		return len(p), w.outcome(err)
	}
	return len(p), nil
}

// Close implements io.Closer.
func (w *messageWriter) Close() error {
	if w.t.limit != "" {
		return nil
	}
	return w.outcome(w.splitter.Close())
}

func (w *messageWriter) outcome(err error) error {
	var limit *message.LimitError
	if errors.As(err, &limit) {
		w.t.limit = limit.Reason
		return nil
	}
	return err
}
