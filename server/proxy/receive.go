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
	stop := s.keepHopAlive()
	broken, err = readData(w, s.r)
	if away := stop(); away != nil && err == nil {
		s.lost(away)
	}
	if broken == nil {
		broken = w.Flush()
	}
	if broken == nil && in.verify != nil {
		broken = in.verify.Close()
	}
	return broken, err
}

// keepHopAlive lets the next hop hear of us while a message comes in, else it hangs up. Until
// stop, the next hop is its own. stop says why the next hop is away.
func (s *session) keepHopAlive() (stop func() error) {
	h := s.hop
	if h == nil {
		return func() error { return nil }
	}
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ticks := time.NewTicker(s.config.keepAlive)
		defer ticks.Stop()
		for {
			select {
			case <-done:
				ended <- nil
				return
			case <-ticks.C:
				if err := h.noop(); err != nil {
					ended <- err
					return
				}
			}
		}
	}()
	return func() error {
		close(done)
		return <-ended
	}
}

// noop asks for a sign of life. A next hop that says 421 is away (RFC 5321 §3.8).
func (h *hop) noop() error {
	got, err := h.command("NOOP")
	if err == nil && (got.code == 421 || !got.positive() && !got.negative()) {
		err = errReply
	}
	return err
}

// intake takes the pieces of a message.
type intake struct {
	session *session
	spool   *spooled
	verify  io.WriteCloser // nil for mail that passes unchecked
}

// Write implements io.Writer.
func (in *intake) Write(p []byte) (int, error) {
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
