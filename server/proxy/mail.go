package proxy

import (
	"bufio"
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

// maxRecipients limits the recipients that are stored for one transaction; the next hop has its
// own limit (RFC 5321 §4.5.3.1.8 requires 100).
const maxRecipients = 10000

// transaction is a mail transaction, including the one at the next hop.
type transaction struct {
	snapshot    *listener.Snapshot
	conn        postseal.Conn
	helo        string
	reversePath string
	recipients  []string

	verify    *listener.Message // nil if it is not checked, or comes from a relay
	unchecked clients.Treatment // why it is not checked, "" if it is
	relayed   bool              // the client is known after the header section
	queueID   string            // of the peer
}

func (t *transaction) abort() {
	if t.verify != nil {
		t.verify.Abort()
	}
}

func (s *session) onMAIL(arg string) reply {
	switch {
	case s.helo == "":
		return say(503, "5.5.1", "Send EHLO first")
	case s.mail != nil:
		return say(503, "5.5.1", "A mail transaction is already in progress")
	case s.mode != Transfer && !s.authenticated():
		return say(530, "5.7.0", "Authentication is required")
	}
	from, err := parsePath(arg, "FROM:")
	if err != nil {
		return say(501, "5.5.4", "Syntax: MAIL FROM:<address>")
	}
	if body, _ := from.param("BODY"); strings.EqualFold(body, "BINARYMIME") {
		return say(504, "5.5.4", "BINARYMIME is not supported")
	}
	if size, ok := from.param("SIZE"); ok && tooLarge(size, s.sizeLimit()) {
		return say(552, "5.3.4", "The message is too large")
	}
	if s.hop != nil && !s.hop.capabilities.has("SIZE") {
		from = from.without("SIZE") // true if it is our extension
	}
	if s.engine.Short(listener.SMTP, s.client().addrPort().Addr()) {
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

// forward tells the next hop by XFORWARD whose mail follows, if it supports XFORWARD and was
// not told by XCLIENT. A refusal does not matter: the attributes are only for its log.
func (s *session) forward() reply {
	if s.hop == nil || s.config.ClientInfo == ClientInfoNone {
		return reply{}
	}
	taken, offered := s.hop.capabilities.find("XFORWARD")
	told := s.introduces() && s.hop.capabilities.has("XCLIENT")
	silent := s.peer && s.xforward == nil && s.xclient == nil // the peer sends its own mail
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

// beginMail starts the verdict with SPF, if the client is already known.
func (s *session) beginMail(reversePath string) {
	s.accepted.Begin()
	t := &transaction{snapshot: s.engine.Current(), queueID: s.xforward["IDENT"], helo: s.clientHelo(), reversePath: reversePath,
		conn: postseal.Conn{Remote: s.client().addrPort(), TLS: s.secure, User: s.xclient["LOGIN"]}}
	if s.xforward != nil {
		t.conn.Relays = 1 // the MTA that forwards it has added a trace field, as Postfix does
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
		return say(503, "5.5.1", "Send MAIL first")
	}
	to, err := parsePath(arg, "TO:")
	switch {
	case err != nil || to.address == "":
		return say(501, "5.5.4", "Syntax: RCPT TO:<address>")
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
		return say(503, "5.5.1", "Send MAIL first")
	case arg != "":
		return say(501, "5.5.4", "DATA takes no argument")
	case len(s.mail.recipients) == 0:
		return say(554, "5.5.1", "No valid recipients")
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

// broken returns the reply to a message that is rejected whoever sent it.
func (s *session) broken(err error) reply {
	switch {
	case errors.Is(err, errBareCR), errors.Is(err, errBareLF):
		return say(550, "5.5.2", smtpreply.BareLineEnding("the message", err.Error())...)
	case errors.Is(err, errMessageTooLarge):
		return say(552, "5.3.4", "The message is too large")
	case errors.Is(err, errNUL):
		return say(550, "5.6.0", "The message contains a NUL octet, which is not allowed in mail")
	case errors.Is(err, errSpoolFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.trouble("spool", "the spool is full", err)
		return say(452, "4.3.1", "Insufficient storage for this message, try again later")
	case errors.Is(err, errShort), errors.Is(err, listener.ErrShed):
		return deferMail(451)
	}
	s.trouble("internal", "a message cannot be accepted", err)
	return say(451, "4.3.0", smtpreply.InternalError...)
}

// refused resets the transaction at the next hop, which is still open, and returns r.
func (s *session) refused(r reply) reply {
	if got := s.ask("RSET"); !got.positive() && !s.over {
		s.lost(errReply)
	}
	return r
}

// beginRelayed starts the verification of a message from one of our relays, with the client
// that the relay's trace field names. If it names none, SPF is skipped.
func (s *session) beginRelayed(m *spooled) error {
	t := s.mail
	header, err := headerOf(m.reader(), t.snapshot.HeaderLimits)
	var limit *message.LimitError
	if err != nil && !errors.As(err, &limit) {
		return err
	}
	origin, how := t.snapshot.Clients.Relayed(t.conn.Remote.Addr(), header, 0, t.conn.User)
	switch how {
	case clients.Checked:
	case clients.Unknown:
		s.engine.Log.Warn("no client address in the trace fields of a trusted relay", "door", listener.SMTP, "relay", t.conn.Remote.Addr().String())
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

// passUnchecked forwards a message unchanged, except for fields of an authenticated user that
// claim to be ours (RFC 8601 §5).
func (s *session) passUnchecked(m *spooled) reply {
	t := s.mail
	c := &changed{header: &message.Header{}, ids: t.snapshot.IDs}
	if t.unchecked == clients.Authenticated {
		header, err := headerOf(m.reader(), t.snapshot.HeaderLimits)
		var limit *message.LimitError
		if c.limited = errors.As(err, &limit); err != nil && !c.limited {
			return s.refused(s.broken(err))
		}
		c.header, c.Remove = header, postseal.ForgedFields(header, t.snapshot.IDs...)
	}
	got := s.deliver(func(w *dotWriter) error {
		if len(c.Remove) == 0 && !c.limited {
			_, err := io.Copy(w, m.reader())
			return err
		}
		return rewrite(w, m.reader(), c)
	})
	s.engine.Unchecked(listener.SMTP, s.queueID(got), t.unchecked)
	s.copy(m, listener.Verdict{Listener: listener.SMTP, QueueID: s.queueID(got), Snapshot: t.snapshot}, got)
	return got
}

// copy hands over a message that the next hop took and that the daemon reads itself.
func (s *session) copy(m *spooled, v listener.Verdict, got reply) {
	if got.code/100 != 2 {
		return
	}
	c := s.engine.Copies.Begin(v.Snapshot, s.mail.recipients)
	if c == nil {
		return
	}
	if _, err := io.Copy(c, m.reader()); err != nil {
		c.Release()
		return
	}
	c.End(v, v.Accepted())
}

// kept returns the body of a message that may explain why its signature broke, nil of others.
func (s *session) kept(m *spooled, r *postseal.Report) *listener.Body {
	if !listener.Unexplained(r) {
		return nil
	}
	b := s.engine.Bodies.Begin()
	if _, err := io.Copy(b, afterHeader(m.reader())); err != nil {
		b.Release()
		return nil
	}
	return b.Explain(r)
}

// afterHeader skips the header section of a message.
func afterHeader(r io.Reader) io.Reader {
	in := bufio.NewReader(r)
	for start := true; ; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) || start && string(line) == "\r\n" {
			return in
		}
		start = err == nil // else the line continues
	}
}

// checked applies the verdict.
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
	v := listener.Verdict{Listener: listener.SMTP, QueueID: s.queueID(got), Report: report, Snapshot: t.snapshot, Took: took, Body: s.kept(m, report)}
	s.verdict = &v
	s.copy(m, v, got)
	return got
}

func (s *session) carryOut(m *spooled, report *postseal.Report) reply {
	switch d := &report.Decision; d.Applied {
	case postseal.Reject, postseal.Defer:
		return s.refused(verdictReply(d))
	case postseal.Accept, postseal.Quarantine:
		c := &changed{report.Header, report.Limit != "", s.mail.snapshot.IDs, report.Headers}
		return s.deliver(func(w *dotWriter) error { return rewrite(w, m.reader(), c) })
	}
	return s.refused(s.broken(errors.New("a verdict without an action")))
}

// verdictReply returns the reply of the verdict with both codes in each line.
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

// deliver sends a message to the next hop, whose reply goes to the client.
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
	// A 2yz reply to DATA itself does not count: no message was sent (RFC 5321 §3.3).
	if err == nil && !taken && !got.negative() {
		err = errReply
	}
	if err != nil {
		return s.lost(err)
	}
	s.over = s.over || got.code == 421
	if !started && !s.over {
		return s.refused(got) // the transaction at the next hop is still open
	}
	return got
}

// queueID returns that of the peer, or the one in the next hop's reply: "250 2.0.0 Ok: queued
// as 4cXk2".
func (s *session) queueID(got reply) string {
	if s.mail.queueID != "" || !got.positive() {
		return s.mail.queueID
	}
	_, id, _ := strings.Cut(got.lines[len(got.lines)-1], "queued as ")
	id, _, _ = strings.Cut(id, " ")
	return smtpreply.Clean(id, 64)
}
