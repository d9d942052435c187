package proxy

import (
	"bufio"
	"io"
	"time"

	"postseal/server/listener"
)

// receive reads a message into the spool and through the verifier at the same time. broken says
// why it cannot be accepted; err that the client disconnected.
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

// keepHopAlive sends something to the next hop at intervals while a message arrives, because
// otherwise it hangs up. Until stop, only keepHopAlive uses the next hop. stop returns why the
// next hop is no longer available.
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

// noop checks that the next hop still answers. A next hop that replies 421 is closing (RFC 5321 §3.8).
func (h *hop) noop() error {
	got, err := h.command("NOOP")
	if err == nil && (got.code == 421 || !got.positive() && !got.negative()) {
		err = errReply
	}
	return err
}

// intake receives the pieces of a message.
type intake struct {
	session *session
	spool   *spooled
	verify  io.WriteCloser // nil for mail that is not checked
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
