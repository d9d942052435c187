package proxy

import (
	"bufio"
	"io"
	"time"
)

// receive reads a message into the spool and, beside it, through the verifier. broken
// says why it cannot be taken; err that the client went away.
func (s *session) receive(m *spooled) (broken, err error) {
	s.patience.each = s.config.Timeout
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

// keepAlive is how often the next hop hears of us while a message comes in slowly; it
// hangs up after 5 min as a rule (RFC 5321 §4.5.3.2.7).
const keepAlive = time.Minute

// intake takes the pieces of a message.
type intake struct {
	session *session
	spool   io.Writer
	verify  io.WriteCloser // nil for mail that passes unchecked
}

// Write implements io.Writer.
func (in *intake) Write(p []byte) (int, error) {
	if h := in.session.hop; h != nil && time.Since(h.spoken) > keepAlive {
		in.session.ask("NOOP")
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
