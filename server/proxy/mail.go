package proxy

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/core/smtpreply"
	"postseal/message"
	"postseal/server/listener"
)

// maxRecipients bounds what is kept of one transaction; the next hop has a limit of its
// own (RFC 5321 §4.5.3.1.8 asks for 100).
const maxRecipients = 10000

// transaction is a mail transaction that the next hop takes part in.
type transaction struct {
	snapshot    *listener.Snapshot
	conn        postseal.Conn
	helo        string
	reversePath string
	recipients  []string

	verify    *postseal.Transaction // nil: it is not checked, or comes from a relay
	unchecked clients.Treatment     // why it is not checked, "" when it is
	relayed   bool                  // its client is known when the header section is there
	queueID   string                // of the peer
}

func (t *transaction) abort() {
	if t.verify != nil {
		t.verify.Abort()
	}
}

func (s *session) onMAIL(arg string) reply {
	switch {
	case s.helo == "":
		return say(503, "5.5.1", "EHLO comes first")
	case s.mail != nil:
		return say(503, "5.5.1", "A mail transaction is open already")
	case s.mode != Transfer && !s.authenticated():
		return say(530, "5.7.0", "Authentication is required")
	}
	from, err := parsePath(arg, "FROM:")
	if err != nil {
		return say(501, "5.5.4", "The syntax is MAIL FROM:<address>")
	}
	if body, _ := from.param("BODY"); strings.EqualFold(body, "BINARYMIME") {
		return say(504, "5.5.4", "BINARYMIME is not offered here")
	}
	if size, ok := from.param("SIZE"); ok && tooLarge(size, s.sizeLimit()) {
		return say(552, "5.3.4", "The message is too large")
	}
	if s.hop != nil && !s.hop.capabilities.has("SIZE") {
		from = from.without("SIZE") // it is our extension then
	}
	if s.engine.Short(listener.SMTP) {
		return deferMail(451)
	}
	if refused := s.forward(); refused.code != 0 {
		return refused
	}
	got := s.ask("MAIL FROM:" + from.String())
	if got.positive() {
		s.beginMail(from.address)
	}
	return got
}

// authenticated reports whether the client logged in, with us or with the peer.
func (s *session) authenticated() bool { return s.loggedIn || s.xclient["LOGIN"] != "" }

// tooLarge compares a SIZE parameter, at most 20 digits (RFC 1870 §3), with the limit.
func tooLarge(size string, limit int64) bool {
	n, err := strconv.ParseUint(size, 10, 64)
	return errors.Is(err, strconv.ErrRange) || err == nil && n > uint64(limit)
}

// forward tells the next hop by XFORWARD whose mail comes, where it wants to know and was
// not told by XCLIENT. Its no is of no weight: the attributes are for its log alone.
func (s *session) forward() reply {
	if s.hop == nil || s.config.ClientInfo == ClientInfoNone {
		return reply{}
	}
	taken, offered := s.hop.capabilities.find("XFORWARD")
	told := s.introduces() && s.hop.capabilities.has("XCLIENT")
	silent := s.peer && s.xforward == nil && s.xclient == nil // it speaks for itself
	if !offered || told || silent {
		return reply{}
	}
	for _, command := range s.client().commands("XFORWARD", xforwardNames, strings.Fields(taken)) {
		got := s.ask(command)
		if s.over {
			return got
		}
		if !got.positive() {
			s.engine.Log.Warn("the next hop refuses XFORWARD", "door", listener.SMTP, "reply", got.String())
		}
	}
	return reply{}
}

// beginMail begins the verdict with SPF, where the client is known by now.
func (s *session) beginMail(reversePath string) {
	s.accepted.Begin()
	t := &transaction{snapshot: s.engine.Current(), queueID: s.xforward["IDENT"], helo: s.clientHelo(), reversePath: reversePath,
		conn: postseal.Conn{Remote: s.client().addrPort(), Local: s.local, TLS: s.secure, User: s.xclient["LOGIN"]}}
	if s.xforward != nil {
		t.conn.Relays = 1 // the MTA that forwards it has stamped it, as Postfix does
	}
	s.mail = t
	how := t.snapshot.Clients.Judge(clients.Client{IP: t.conn.Remote.Addr(), Authenticated: s.authenticated(),
		Local: !s.socket.IsValid() && s.xforward == nil && s.xclient == nil})
	switch {
	case how.Unchecked():
		t.unchecked = how
	case how == clients.Relayed:
		t.relayed = true
	default:
		t.verify = s.engine.Begin(s.ctx, t.snapshot, t.conn, t.helo, reversePath)
	}
}

func (s *session) onRCPT(arg string) reply {
	if s.mail == nil {
		return say(503, "5.5.1", "MAIL comes first")
	}
	to, err := parsePath(arg, "TO:")
	switch {
	case err != nil || to.address == "":
		return say(501, "5.5.4", "The syntax is RCPT TO:<address>")
	case len(s.mail.recipients) >= maxRecipients:
		return say(452, "4.5.3", "Too many recipients")
	}
	got := s.ask("RCPT TO:" + to.String())
	if got.positive() {
		s.mail.recipients = append(s.mail.recipients, to.address)
	}
	return got
}

func (s *session) onDATA(arg string) reply {
	switch {
	case s.mail == nil:
		return say(503, "5.5.1", "MAIL comes first")
	case arg != "":
		return say(501, "5.5.4", "DATA takes no argument")
	case len(s.mail.recipients) == 0:
		return say(554, "5.5.1", "There is no valid recipient")
	}
	say(354, "", "End data with <CR><LF>.<CR><LF>").write(s.w)
	if err := s.w.Flush(); err != nil {
		s.over = true
		return reply{}
	}
	m := s.proxy.spool.begin(s.config.Spool)
	defer m.close()
	broken, err := s.receive(m)
	if err != nil {
		s.over = true
		return lineFault(err)
	}
	ended := time.Now()
	defer s.endMail()
	if broken != nil {
		return s.refused(s.broken(broken))
	}
	if s.mail.relayed {
		if err := s.beginRelayed(m); err != nil {
			return s.refused(s.broken(err))
		}
	}
	if s.mail.verify == nil {
		return s.passUnchecked(m)
	}
	return s.checked(m, ended)
}

// broken is the answer to a message that cannot be taken whoever it is from.
func (s *session) broken(err error) reply {
	switch {
	case errors.Is(err, errBareCR), errors.Is(err, errBareLF):
		return say(550, "5.5.2", smtpreply.BareLineEnding("the message", err.Error())...)
	case errors.Is(err, errMessageTooLarge):
		return say(552, "5.3.4", "The message is too large")
	case errors.Is(err, errNUL):
		return say(550, "5.6.0", "The message has a NUL octet, which mail must not have")
	case errors.Is(err, errSpoolFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.trouble("spool", "the spool is full", err)
		return say(452, "4.3.1", "No room for this message now, try again later")
	case errors.Is(err, errShort):
		return deferMail(451)
	}
	s.trouble("internal", "a message cannot be taken", err)
	return say(451, "4.3.0", smtpreply.InternalError...)
}

// refused resets the transaction at the next hop, which has not ended, and answers r.
func (s *session) refused(r reply) reply {
	if got := s.ask("RSET"); !got.positive() && !s.over {
		s.lost(errReply)
	}
	return r
}

// beginRelayed begins the verification of what a relay of ours handed on, with the client
// that the relay's own trace field names. When it names none, SPF has no client to check.
func (s *session) beginRelayed(m *spooled) error {
	t := s.mail
	header, err := headerOf(m.reader(), t.snapshot.HeaderLimits)
	var limit *message.LimitError
	if err != nil && !errors.As(err, &limit) {
		return err
	}
	origin, how := t.snapshot.Clients.Relayed(header, 0, t.conn.User)
	switch how {
	case clients.Checked:
	case clients.Unknown:
		s.engine.Log.Warn("the trace of a trusted relay names no client", "door", listener.SMTP, "relay", t.conn.Remote.Addr().String())
	default:
		t.unchecked = how
		return nil
	}
	t.conn, t.helo = origin.Conn, origin.Helo
	t.verify = s.engine.Begin(s.ctx, t.snapshot, t.conn, t.helo, t.reversePath)
	w := t.verify.MessageWriter()
	if _, err := io.Copy(w, m.reader()); err != nil {
		return err
	}
	return w.Close()
}

// passUnchecked passes a message on as it came, but for fields of an authenticated user
// that claim to be ours (RFC 8601 §5).
func (s *session) passUnchecked(m *spooled) reply {
	t := s.mail
	c := &changed{header: &message.Header{}, id: t.snapshot.AuthservID}
	if t.unchecked == clients.Authenticated {
		header, err := headerOf(m.reader(), t.snapshot.HeaderLimits)
		var limit *message.LimitError
		if c.limited = errors.As(err, &limit); err != nil && !c.limited {
			return s.refused(s.broken(err))
		}
		c.header, c.Remove = header, postseal.ForgedFields(header, t.snapshot.AuthservID)
	}
	got := s.deliver(func(w *dotWriter) error {
		if len(c.Remove) == 0 && !c.limited {
			_, err := io.Copy(w, m.reader())
			return err
		}
		return rewrite(w, m.reader(), c)
	})
	s.engine.Unchecked(listener.SMTP, s.queueID(got), t.unchecked)
	return got
}

// checked carries out the verdict.
func (s *session) checked(m *spooled, ended time.Time) reply {
	t := s.mail
	for _, r := range t.recipients {
		t.verify.Rcpt(r)
	}
	report, err := t.verify.Finish(s.ctx)
	if err != nil {
		return s.refused(s.broken(err))
	}
	took := time.Since(ended)
	got := s.carryOut(m, report)
	s.engine.Record(listener.Verdict{Listener: listener.SMTP, QueueID: s.queueID(got), Report: report, Snapshot: t.snapshot, Took: took})
	return got
}

func (s *session) carryOut(m *spooled, report *postseal.Report) reply {
	switch d := &report.Decision; d.Applied {
	case postseal.Reject, postseal.Defer:
		return s.refused(verdictReply(d))
	case postseal.Accept, postseal.Quarantine:
		c := &changed{report.Header, report.Limit != "", s.mail.snapshot.AuthservID, report.Headers}
		return s.deliver(func(w *dotWriter) error { return rewrite(w, m.reader(), c) })
	}
	return s.refused(s.broken(errors.New("a verdict without an action")))
}

// verdictReply is the reply of the verdict with both codes in each line.
func verdictReply(d *postseal.Decision) reply {
	if d.Reply == nil {
		return say(451, "4.3.0", smtpreply.InternalError...)
	}
	r := reply{code: d.Reply.Code}
	for _, line := range d.Reply.Lines {
		r.lines = append(r.lines, d.Reply.Enhanced+" "+line)
	}
	return r
}

// deliver hands a message to the next hop, whose answer is the client's.
func (s *session) deliver(write func(*dotWriter) error) reply {
	if s.hop == nil {
		return s.lost(io.ErrClosedPipe)
	}
	got, err := s.hop.command("DATA")
	taken, started := false, err == nil && got.code == 354
	if started {
		got, err = s.hop.send(write)
		taken = err == nil && got.positive()
	}
	// A yes to DATA itself is none: nothing was handed over (RFC 5321 §3.3).
	if err == nil && !taken && !got.negative() {
		err = errReply
	}
	if err != nil {
		return s.lost(err)
	}
	s.over = s.over || got.code == 421
	if !started && !s.over {
		return s.refused(got) // the next hop has the transaction open still
	}
	return got
}

// queueID is that of the peer, or the one in the next hop's reply: "250 2.0.0 Ok: queued
// as 4cXk2".
func (s *session) queueID(got reply) string {
	if s.mail.queueID != "" || !got.positive() {
		return s.mail.queueID
	}
	_, id, _ := strings.Cut(got.lines[len(got.lines)-1], "queued as ")
	id, _, _ = strings.Cut(id, " ")
	return smtpreply.Clean(id, 64)
}
