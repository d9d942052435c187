package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postseal/internal/core/address"
	"postseal/server/listener"
)

const (
	negotiateTimeout = 30 * time.Second
	// An MTA may be silent as long as its client is: Postfix waits 300 s for each command and
	// each piece of a message. An MTA that is silent for longer is considered gone.
	sessionIdle = 20 * time.Minute
	// A session that failed sends a temporary failure and then continues to read for this long,
	// because the system would discard the answer if data were left unread.
	lingerTime   = 5 * time.Second
	lingerOctets = 64 << 20
)

// session is one connection of an MTA. It carries any number of SMTP connections, one after
// another, with any number of messages each.
type session struct {
	ctx    context.Context
	engine *listener.Engine
	conn   *listener.Conn
	wire   *wire
	terms  terms

	macros macros
	client client
	helo   string
	mail   *mail // nil between messages
}

// client is the SMTP client of the current connection.
type client struct {
	addr  netip.AddrPort // the zero value if unknown
	local bool           // it came over a unix socket of the MTA
}

func newSession(ctx context.Context, e *listener.Engine, c *listener.Conn) *session {
	return &session{ctx: ctx, engine: e, conn: c, wire: newWire(c)}
}

// run serves the session. Any error ends it with a temporary failure.
func (s *session) run() {
	defer s.wire.close()
	defer s.endMail()
	err := s.serve()
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	kind := "network"
	if wrong, ok := errors.AsType[*ProtocolError](err); ok {
		kind = wrong.Kind
	}
	s.engine.Metrics.Listeners[listener.Milter].Errors.WithLabelValues(kind).Inc()
	s.engine.Log.Warn("a milter session ended with an error", "peer", s.conn.RemoteAddr().String(), "kind", kind, "error", listener.Text(err))
	s.linger()
}

// linger gives the MTA time to read a temporary failure. If it only saw a lost connection, it
// might be configured to accept the message.
func (s *session) linger() {
	s.wire.write(replyTempFail)
	if s.wire.flush() != nil {
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, s.conn, lingerOctets)
}

// serve answers commands until the MTA ends the session. The error is nil if it did so with a quit command.
func (s *session) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.engine.Panicked(listener.Milter, p)
			err = &ProtocolError{"panic", "a bug in postseal ended the session"}
		}
	}()
	if err := s.open(); err != nil {
		return err
	}
	for {
		c, data, err := s.wire.read()
		if err != nil {
			return err
		}
		switch c {
		case cmdQuit:
			return nil
		case cmdNewConn:
			s.newConnection()
			if s.conn.Closing() {
				return nil
			}
			continue
		}
		if err := s.command(c, data); err != nil {
			return err
		}
	}
}

// open negotiates the options. An MTA that connects and sends nothing does not block others.
func (s *session) open() error {
	c, data, err := s.wire.read()
	if err != nil {
		return err
	}
	s.wire.timeout.Timeout = sessionIdle
	if c != cmdNegotiate {
		return &ProtocolError{"order", fmt.Sprintf("command %q before the negotiation", byte(c))}
	}
	hold := s.engine.Current().Config.DMARC.QuarantineWith == "hold"
	t, answer, err := negotiate(data, hold)
	if err != nil {
		return err
	}
	s.terms = t
	if missing := t.missing(hold); len(missing) > 0 {
		s.engine.Log.Warn("the MTA does not offer everything that verdicts need", "peer", s.conn.RemoteAddr().String(), "missing", strings.Join(missing, ", "))
	}
	s.wire.write(reply(cmdNegotiate), answer)
	return nil
}

// newConnection clears the SMTP client: another one follows on the same socket.
func (s *session) newConnection() {
	s.endMail()
	s.macros, s.client, s.helo = macros{}, client{}, ""
}

// endMail discards the message, finished or not.
func (s *session) endMail() {
	if s.mail != nil {
		s.mail.abort()
		s.mail, s.wire.mail = nil, false
		s.conn.End()
	}
	s.macros.newMessage()
}

// command executes one command and sends the answer, if the command has one.
func (s *session) command(c command, data []byte) error {
	switch c {
	case cmdMacro:
		return s.macros.take(data)
	case cmdAbort:
		s.endMail()
		return nil
	case cmdEnd:
		return s.end(data)
	}
	if err := s.step(c, data); err != nil {
		return err
	}
	if !s.terms.silent(c) && s.wire.whole() {
		s.wire.write(replyContinue)
	}
	return nil
}

// step handles a command that never ends a message.
func (s *session) step(c command, data []byte) error {
	switch c {
	case cmdConnect:
		return s.connect(data)
	case cmdHelo:
		name, _, err := cstring(data)
		s.helo = string(name)
		return err
	case cmdMail:
		return s.begin(data)
	case cmdUnknown:
		return nil
	case cmdRcpt, cmdData, cmdHeader, cmdEndHeader, cmdBody:
		if s.mail == nil {
			return &ProtocolError{"order", fmt.Sprintf("command %q outside a message", byte(c))}
		}
		return s.mail.step(c, data)
	}
	return malformed("unknown command %q", byte(c))
}

// connect reads hostname, family, port and address. Postfix sends a bare IPv6 address,
// Sendmail one with the tag of RFC 5321 §4.1.3.
func (s *session) connect(data []byte) error {
	s.endMail()
	s.client, s.helo = client{}, ""
	if !s.macros.connecting { // those are of the client before
		s.macros = macros{}
	}
	s.macros.connecting = false
	_, rest, err := cstring(data)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return malformed("a connection without an address family")
	}
	family, rest := rest[0], rest[1:]
	switch family {
	case 'U':
		s.client.addr = s.macros.client()
		return nil
	case 'L':
		s.client.local = true
		return nil
	case '4', '6':
	default:
		return malformed("address family %q", family)
	}
	if len(rest) < 2 {
		return malformed("a connection without a port")
	}
	port := binary.BigEndian.Uint16(rest)
	text, _, err := cstring(rest[2:])
	if err != nil {
		return err
	}
	ip, ok := parseAddr(string(text))
	if !ok {
		return malformed("%q is not an address", text)
	}
	s.client.addr = netip.AddrPortFrom(ip, port)
	return nil
}

func parseAddr(s string) (netip.Addr, bool) {
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return ip.Unmap().WithZone(""), err == nil
}

// client returns the address from macros, for an MTA that gives none when connecting.
func (m *macros) client() netip.AddrPort {
	ip, ok := parseAddr(m.connection.clientAddr)
	if !ok {
		return netip.AddrPort{}
	}
	port, _ := strconv.ParseUint(m.connection.clientPort, 10, 16)
	return netip.AddrPortFrom(ip, uint16(port))
}

// begin starts a message. Parameters of MAIL FROM do not affect a verdict.
func (s *session) begin(data []byte) error {
	if s.mail != nil { // the previous message was not aborted
		s.mail.abort()
		s.mail = nil
	}
	path, _, err := cstring(data)
	if err != nil {
		return err
	}
	s.conn.Begin()
	s.wire.mail = true
	s.mail = s.newMail(address.Bare(string(path)))
	return nil
}
