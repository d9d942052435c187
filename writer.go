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
	if t.work != nil {
		t.work.splitter = message.NewSplitter(t, t.v.config.Limits.Header)
	}
	return messageWriter{t}
}

type messageWriter struct{ t *Transaction }

var errEnded = errors.New("postseal: the transaction has ended")

// Write implements io.Writer.
func (w messageWriter) Write(p []byte) (int, error) {
	switch {
	case w.t.work == nil:
		return 0, errEnded
	case w.t.made.Limit != "":
		return len(p), nil
	case w.t.work.splitter.InBody():
		return w.t.Write(p)
	}
	if _, err := w.t.work.splitter.Write(p); err != nil {
		return len(p), w.outcome(err)
	}
	return len(p), nil
}

// Close implements io.Closer.
func (w messageWriter) Close() error {
	switch {
	case w.t.work == nil:
		return errEnded
	case w.t.made.Limit != "":
		return nil
	}
	return w.outcome(w.t.work.splitter.Close())
}

func (w messageWriter) outcome(err error) error {
	var limit *message.LimitError
	if errors.As(err, &limit) {
		w.t.made.Limit = limit.Reason
		return nil
	}
	return err
}
