package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"postseal/internal/core/smtpreply"
	"postseal/server/listener"
)

// maxErrors is how many commands may be rejected before the session ends.
const maxErrors = 20

// session is one connection of a client, with the connection to the next hop that serves it.
type session struct {
	proxy    *Proxy
	engine   *listener.Engine
	config   *Config
	mode     Mode
	ctx      context.Context
	accepted *listener.Conn

	conn    net.Conn // the client: accepted, or over TLS
	timeout *listener.TimeoutReader
	r       *bufio.Reader
	w       *bufio.Writer
	secure  bool
	socket  netip.AddrPort // of the client, not valid for a unix socket
	local   netip.AddrPort
	peer    bool // it may use XFORWARD and XCLIENT

	esmtp    bool
	helo     string // from the last EHLO or HELO, "" before
	xclient  attributes
	xforward attributes // for the next mail transaction
	loggedIn bool       // by AUTH
	hop      *hop       // nil before EHLO
	mail     *transaction
	verdict  *listener.Verdict // of a message whose reply has not been sent yet
	errors   int
	over     bool // the session ends after this reply
}

// handlers maps commands to functions. Each returns its reply; one without a code is not sent.
var handlers = map[string]func(*session, string) reply{
	"EHLO": (*session).onEHLO, "HELO": (*session).onHELO, "STARTTLS": (*session).onSTARTTLS, "AUTH": (*session).onAUTH,
	"XCLIENT": (*session).onXCLIENT, "XFORWARD": (*session).onXFORWARD,
	"MAIL": (*session).onMAIL, "RCPT": (*session).onRCPT, "DATA": (*session).onDATA, "BDAT": (*session).onBDAT,
	"RSET": (*session).onRSET, "VRFY": (*session).onVRFY, "NOOP": (*session).onNOOP, "HELP": (*session).onHELP, "QUIT": (*session).onQUIT,
}

// foreign are commands of other protocols. A client that sends them was redirected here by
// cross-protocol request forgery, and the data after them is not mail.
var foreign = map[string]bool{"GET": true, "POST": true, "PUT": true, "HEAD": true, "OPTIONS": true, "CONNECT": true, "HOST:": true}

func (s *session) run() {
	if s.engine.Short(listener.SMTP, netip.Addr{}) {
		s.answer(deferMail(421))
		s.w.Flush()
		return
	}
	s.answer(say(220, "", s.hostname()+" ESMTP"))
	for !s.over {
		if s.mail == nil && s.accepted.Closing() {
			s.answer(say(421, "4.3.2", "This server is shutting down, try again later"))
			break
		}
		line, err := s.readCommand()
		if err != nil {
			s.answer(lineFault(err))
			break
		}
		if s.errors > maxErrors { // the last reply was still the reply to its command
			s.answer(say(421, "4.7.0", "Too many errors"))
			break
		}
		s.reply(s.execute(line))
		if s.mail == nil && s.w.Flush() == nil {
			s.accepted.End()
		}
	}
	s.w.Flush() // the client has disconnected, so the error cannot be reported
}

func (s *session) hostname() string {
	if s.config.Hostname != "" {
		return s.config.Hostname
	}
	return s.engine.Current().AuthservID
}

// reply sends the reply to a command. The verdict of a message is recorded after it.
func (s *session) reply(r reply) {
	v := s.verdict
	s.verdict = nil
	if v == nil {
		s.answer(r)
		return
	}
	s.engine.Answer(*v, func() error {
		s.answer(r)
		return s.w.Flush()
	})
}

func (s *session) answer(r reply) {
	if r.code != 0 {
		r.write(s.w)
	}
}

// readCommand reads the next line. Replies to a pipelined group are sent together (RFC 2920
// §3.2), when no complete line is left.
func (s *session) readCommand() (string, error) {
	if ahead, _ := s.r.Peek(s.r.Buffered()); bytes.IndexByte(ahead, '\n') < 0 {
		if err := s.w.Flush(); err != nil {
			return "", err
		}
	}
	s.timeout.Timeout = 0
	if err := s.conn.SetReadDeadline(time.Now().Add(s.config.Timeout)); err != nil {
		return "", err
	}
	return readLine(s.r)
}

// lineFault returns the reply before closing, or nothing if the client disconnected.
func lineFault(err error) reply {
	var timeout net.Error
	switch {
	case errors.Is(err, errBareCR), errors.Is(err, errBareLF):
		return say(521, "5.5.2", smtpreply.BareLineEnding("a command", err.Error())...)
	case errors.Is(err, errLineTooLong):
		return say(500, "5.5.2", "The line is too long")
	case errors.As(err, &timeout) && timeout.Timeout():
		return say(421, "4.4.2", "Timed out waiting for the client")
	}
	return reply{}
}

func (s *session) execute(line string) reply {
	verb, arg, err := splitCommand(line)
	if foreign[verb] {
		s.over = true
		return say(421, "4.7.0", "This server speaks SMTP")
	}
	handle := handlers[verb]
	var got reply
	switch {
	case err != nil:
		got = say(500, "5.5.2", "Syntax error, command unrecognized")
	case handle == nil:
		got = say(502, "5.5.1", "Command not implemented")
	default:
		return s.counted(handle(s, arg))
	}
	return s.counted(got)
}

// counted counts rejected commands: a client with too many errors gets 421 for its next
// command. The current reply is unchanged, because the client must not send a permanently
// rejected message again.
func (s *session) counted(r reply) reply {
	if r.code/100 == 5 {
		s.errors++
	}
	return r
}

// ask forwards a command to the next hop and returns its reply. A reply that the client could
// not accept as the end of the command ends the session.
func (s *session) ask(command string) reply {
	if s.hop == nil {
		return s.lost(io.ErrClosedPipe)
	}
	got, err := s.hop.command(command)
	if err == nil && !got.positive() && !got.negative() {
		err = errReply
	}
	if err != nil {
		return s.lost(err)
	}
	if got.code == 421 {
		s.over = true
	}
	return got
}

// lost ends the session because the next hop is no longer available (RFC 5321 §3.8); the client will retry.
func (s *session) lost(err error) reply {
	s.trouble("hop", "the next hop is not available", err)
	if s.hop != nil {
		s.hop.drop()
		s.hop = nil
	}
	s.over = true
	return say(421, "4.4.1", "The next mail server does not answer, try again later")
}

// trouble logs and counts an error that ended a connection.
func (s *session) trouble(kind, what string, err error) {
	s.engine.Metrics.Listeners[listener.SMTP].Errors.WithLabelValues(kind).Inc()
	s.engine.Log.Warn(what, "door", listener.SMTP, "client", s.socket.String(), "error", smtpreply.Clean(err.Error(), 200))
}

// end releases the resources of the session.
func (s *session) end() {
	if s.verdict != nil { // a panic came before its reply
		s.engine.Record(*s.verdict)
	}
	s.endMail()
	if s.hop != nil {
		s.hop.close()
	}
}

func (s *session) endMail() {
	if s.mail != nil {
		s.mail.abort()
		s.mail = nil
	}
	s.xforward = nil // as in Postfix, it applies to one transaction
}

func (s *session) onRSET(arg string) reply {
	if arg != "" {
		return say(501, "5.5.4", "RSET takes no argument")
	}
	s.endMail()
	if s.hop == nil {
		return say(250, "2.0.0", "Ok")
	}
	got := s.ask("RSET")
	if !got.positive() && !s.over {
		return s.lost(errReply) // its transaction may still be open
	}
	return got
}

func (s *session) onVRFY(arg string) reply {
	switch {
	case s.hop == nil:
		return say(503, "5.5.1", "Send EHLO first")
	case s.mode != Transfer && !s.authenticated():
		return say(530, "5.7.0", "Authentication is required")
	case arg == "":
		return say(501, "5.5.4", "VRFY needs an address")
	}
	return s.ask("VRFY " + arg)
}

func (s *session) onNOOP(string) reply { return say(250, "2.0.0", "Ok") }

func (s *session) onHELP(string) reply {
	return say(214, "2.0.0", "See RFC 5321; postseal verifies mail here and forwards it")
}

func (s *session) onQUIT(arg string) reply {
	if arg != "" {
		return say(501, "5.5.4", "QUIT takes no argument")
	}
	s.over = true
	return say(221, "2.0.0", "Bye")
}

// maxChunk limits a chunk that is only read to be discarded.
const maxChunk = 64 << 20

// onBDAT rejects a chunk (RFC 3030 §2): CHUNKING is not offered. It discards the octets of the
// chunk, so that none of them is read as a command; if that is not possible, the session ends.
func (s *session) onBDAT(arg string) reply {
	size, ok := chunkSize(arg)
	if ok {
		s.timeout.Timeout = s.config.Timeout
		_, err := io.CopyN(io.Discard, s.r, size)
		ok = err == nil
	}
	s.over = s.over || !ok
	return say(502, "5.5.1", "CHUNKING is not supported: use DATA")
}

func chunkSize(arg string) (int64, bool) {
	digits, _, _ := strings.Cut(arg, " ")
	var n int64
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' || n > maxChunk {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, digits != "" && n <= maxChunk
}
