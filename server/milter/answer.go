package milter

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"postseal"
	"postseal/internal/core/smtpreply"
	"postseal/server/listener"
)

// progressEvery is how often the MTA is told that we are still working. It waits 300 s for the
// answer to the end of a message.
const progressEvery = 10 * time.Second

// end answers the end of a message, which may arrive with the last piece of the body.
func (s *session) end(data []byte) error {
	if s.mail == nil {
		return &ProtocolError{"order", "the end of a message that was not started"}
	}
	defer s.endMail()
	if len(data) > 0 {
		if err := s.mail.write(data); err != nil {
			return err
		}
	}
	if s.mail.deferMail {
		s.refuse(listener.LowMemoryReply())
		return s.wire.flush()
	}
	began := time.Now()
	stop := s.wire.progress(progressEvery)
	r, err := s.mail.finish()
	stop()
	switch {
	case errors.Is(err, listener.ErrShed):
		s.refuse(listener.LowMemoryReply())
		return s.wire.flush()
	case err != nil:
		return err
	}
	qid := s.macros.message.queueID
	if r == nil {
		s.change(s.mail.forged.changes())
		s.wire.write(replyContinue)
		s.engine.Unchecked(listener.Milter, qid, s.mail.skip)
		s.mail.endCopy(listener.Verdict{Listener: listener.Milter, QueueID: qid, Snapshot: s.mail.snapshot}, true)
		return s.wire.flush()
	}
	s.answer(r)
	v := listener.Verdict{Listener: listener.Milter, QueueID: qid, Report: r, Snapshot: s.mail.snapshot, Took: time.Since(began), Body: s.mail.kept.Explain(r)}
	s.mail.kept = nil // the recorder releases it
	s.mail.endCopy(v, v.Accepted())
	return s.engine.Answer(v, s.wire.flush)
}

// answer sends the header changes and the action for the message.
func (s *session) answer(r *postseal.Report) {
	d := &r.Decision
	switch d.Applied {
	case postseal.Reject, postseal.Defer:
		s.refuse(d.Reply)
		return
	case postseal.Quarantine:
		s.change(r.Headers)
		if s.mail.snapshot.Config.DMARC.QuarantineWith == "hold" && s.terms.actions&quarantine != 0 {
			s.wire.write(replyQuarantine, []byte("postseal "+string(d.Reason)+" ref "+r.Ref), nul)
		}
	default:
		s.change(r.Headers)
	}
	s.wire.write(replyContinue)
}

// refuse sends our own reply text: the MTA's text for a plain reject gives no reason.
func (s *session) refuse(r *postseal.Reply) {
	text, err := smtpreply.Milter(r.Code, r.Enhanced, r.Lines)
	if err != nil {
		s.engine.Log.Error("a reply cannot be sent, so the message is deferred", "error", listener.Text(err))
		s.wire.write(replyTempFail)
		return
	}
	s.wire.write(replyCode, []byte(text), nul)
}

// change sends header changes. Removals come first, from the highest instance down, because
// each changes the numbers of later ones, and an insertion shifts the MTA's own Received field.
// Then the additions, so that the first ends up on top (RFC 8601 §4.1, §5).
func (s *session) change(c postseal.HeaderChanges) {
	if s.terms.actions&changeHeaders != 0 {
		for _, h := range c.Remove {
			s.wire.write(replyChange, number(h.Index), []byte(h.Name), nul, nul)
		}
	}
	if s.terms.actions&addHeaders == 0 {
		return
	}
	for i := len(c.Add) - 1; i >= 0; i-- {
		s.wire.write(replyInsert, number(0), []byte(c.Add[i].Name), nul, []byte(s.value(c.Add[i].Value)), nul)
	}
}

var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "", "\x00", "")

// value returns a field value in the MTA's form: LF for each fold, and the leading space only
// if the MTA adds none itself.
func (s *session) value(v string) string {
	v = lineFeeds.Replace(v)
	if s.terms.steps&leadingSpace == 0 {
		v = strings.TrimPrefix(v, " ")
	}
	return v
}

func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
