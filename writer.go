package postseal

import (
	"io"

	"postseal/message"
)

// MessageWriter takes the octets of the whole message, with CRLF line endings, in pieces of any
// size, for those who do not get its header fields one by one. Close ends the message. A header
// section beyond a limit ends in the verdict, not in an error.
func (t *Transaction) MessageWriter() io.WriteCloser {
	if t.work != nil {
		t.work.splitter = t.split()
	}
	return messageWriter{t}
}

// split feeds t with all fields: those beyond a limit may be forged.
func (t *Transaction) split() *message.Splitter {
	s := message.NewSplitter(t, t.v.config.Limits.Header)
	s.PastLimits()
	return s
}

type messageWriter struct{ t *Transaction }

// Write implements io.Writer.
func (w messageWriter) Write(p []byte) (int, error) {
	if w.t.work == nil {
		return 0, w.t.misuse("the transaction has ended")
	}
	return w.t.work.splitter.Write(p)
}

// Close implements io.Closer.
func (w messageWriter) Close() error {
	if w.t.work == nil {
		return w.t.misuse("the transaction has ended")
	}
	return w.t.work.splitter.Close()
}
