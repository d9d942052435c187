package proxy

import (
	"bufio"
	"io"
	"time"

	"postseal/server/listener"
)

// receive reads a message into the spool and, beside it, through the verifier. broken
// says why it cannot be taken; err that the client went away.
func (s *session) receive(m *spooled) (broken, err error) {
	s.timeout.Timeout = s.config.Timeout
	in := &intake{session: s, spool: m}
	if t := s.mail.verify; t != nil {
		in.verify = t.MessageWriter()
	}
	w := bufio.NewWriterSize(in, 32<<10)
	broken, err = readData(w, s.r)
	if broken == nil {
		broken = w.Flush()
	}
	if broken == nil && in.verify != nil {
		broken = in.verify.Close()
	}
	return broken, err
}

// intake takes the pieces of a message.
type intake struct {
	session *session
	spool   *spooled
	verify  io.WriteCloser // nil for mail that passes unchecked
}

// Write implements io.Writer.
func (in *intake) Write(p []byte) (int, error) {
	if h := in.session.hop; h != nil && time.Since(h.spoken) > in.session.config.keepAlive {
		in.session.ask("NOOP")
	}
	if in.session.engine.Out(listener.SMTP) {
		in.spool.close()
		in.session.mail.abort()
		return 0, errShort
	}
	if _, err := in.spool.Write(p); err != nil {
		return 0, err
	}
	if in.verify != nil {
		if _, err := in.verify.Write(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
