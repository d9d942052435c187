package milter

import (
	"bytes"
	"context"
	"strings"

	"postseal"
	"postseal/authres"
	"postseal/internal/app/clients"
	"postseal/internal/core/address"
	"postseal/message"
	"postseal/server/listener"
)

// maxRecipients limits the forward-paths of a message that are stored as evidence.
const maxRecipients = 1000

// mail is one message. It is verified, or passed on without a check.
type mail struct {
	ctx         context.Context
	engine      *listener.Engine
	snapshot    *listener.Snapshot
	terms       terms
	conn        postseal.Conn
	helo        string
	reversePath string
	recipients  []string

	skip      clients.Treatment // why it is not checked, "" if it is
	forged    forgery
	tx        *listener.Message // nil if it is not checked, and until the client is known
	deferMail bool              // memory is low: it is not read, and gets 451 at its end
	held      *message.Header   // from one of our relays: the client is known after the header
	body      bool              // the header section has ended
	field     []byte
	copying   bool           // whether it is copied is known
	copy      *listener.Copy // nil unless the daemon reads the message itself
	kept      *listener.Body // of a signed message, to explain why its signature broke
}

func (s *session) newMail(reversePath string) *mail {
	m := &mail{ctx: s.ctx, engine: s.engine, snapshot: s.engine.Current(), terms: s.terms, helo: s.helo, reversePath: reversePath}
	m.conn = postseal.Conn{Remote: s.client.addr, TLS: s.macros.connection.tls != "", User: s.macros.message.user}
	t := m.snapshot.Clients.Judge(clients.Client{IP: s.client.addr.Addr(), Local: s.client.local,
		Authenticated: m.conn.User != "", Daemon: s.macros.connection.daemon})
	switch {
	case t.Unchecked():
		m.skip = t
	case m.engine.Short(listener.Milter, s.client.addr.Addr()):
		m.deferMail = true
	case t == clients.Relayed:
		m.held = new(message.Header)
	default:
		m.tx = m.engine.Begin(m.ctx, m.snapshot, m.conn, m.helo, m.reversePath)
	}
	return m
}

// beginCopy begins the copy of a message to an address of the daemon itself. Its recipients are
// known once its header begins.
func (m *mail) beginCopy() {
	if !m.copying {
		m.copying, m.copy = true, m.engine.Copies.Begin(m.snapshot, m.recipients)
	}
}

// endCopy hands the copy over, if the message was accepted.
func (m *mail) endCopy(v listener.Verdict, accepted bool) {
	m.copy.End(v, accepted)
	m.copy = nil
}

func (m *mail) abort() {
	m.copy.Release()
	m.kept.Release()
	m.copy, m.kept = nil, nil
	if m.tx != nil {
		m.tx.Abort()
	}
}

// step handles a command between MAIL FROM and the end of the message.
func (m *mail) step(c command, data []byte) error {
	if c == cmdHeader && m.keeps() && m.engine.Out(listener.Milter) || m.tx != nil && m.tx.Shed() {
		m.abort()
		m.tx, m.held, m.deferMail = nil, nil, true
	}
	if m.deferMail {
		return nil
	}
	switch c {
	case cmdRcpt:
		path, _, err := cstring(data)
		if err == nil && len(m.recipients) < maxRecipients {
			m.recipients = append(m.recipients, address.Bare(string(path)))
		}
		return err
	case cmdHeader:
		return m.header(data)
	case cmdEndHeader:
		return m.endHeader()
	case cmdBody:
		return m.write(data)
	}
	return nil
}

// keeps reports whether memory grows with the header section.
func (m *mail) keeps() bool { return m.tx != nil || m.held != nil }

// header reads name and value, and restores the octets of the field as received. The MTA
// removed the colon, white space before it, and the CRs of inner line endings. It also removed
// one space after the colon, unless it agreed to keep it.
func (m *mail) header(data []byte) error {
	name, rest, err := cstring(data)
	if err != nil {
		return err
	}
	value, rest, err := cstring(rest)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return malformed("octets after a header field")
	case m.body:
		return &ProtocolError{"order", "a header field within the body"}
	}
	raw := append(append(m.field[:0], name...), ':')
	if m.terms.steps&leadingSpace == 0 {
		raw = append(raw, ' ')
	}
	raw = appendCRLF(raw, value)
	m.field = raw
	m.beginCopy()
	m.copy.Write(raw)
	m.copy.Write([]byte("\r\n"))
	if f, ok := message.ParseField(raw); ok {
		return m.take(f)
	}
	m.engine.Log.Debug("not a header field, and not read", "door", listener.Milter, "name", listener.Text(string(name)))
	return nil
}

// appendCRLF appends value with CRLF for each LF that has no CR.
func appendCRLF(raw, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, '\n')
		if i < 0 {
			return append(raw, value...)
		}
		raw = append(raw, value[:i]...)
		if i == 0 || value[i-1] != '\r' {
			raw = append(raw, '\r')
		}
		raw = append(raw, '\n')
		value = value[i+1:]
	}
}

func (m *mail) take(f message.Field) error {
	switch {
	case m.tx != nil:
		if m.kept == nil && f.Is("DKIM-Signature") {
			m.kept = m.engine.Bodies.Begin()
		}
		return m.tx.Field(f)
	case m.held != nil:
		// One field over the limit is kept, so that the verdict can report it.
		if m.snapshot.HeaderLimits.Check(m.held, message.Field{}) == "" {
			m.held.Add(f)
		}
	case m.skip == clients.Authenticated:
		m.forged.see(f, m.snapshot.IDs)
	}
	return nil
}

func (m *mail) endHeader() error {
	if m.body {
		return &ProtocolError{"order", "a second end of the header section"}
	}
	m.body = true
	m.copy.Write([]byte("\r\n"))
	if m.held != nil {
		if err := m.beginRelayed(); err != nil {
			return err
		}
	}
	if m.tx == nil {
		return nil
	}
	return m.tx.EndHeader()
}

// beginRelayed starts the verification of a message from one of our relays, with the client
// that the relay's trace field names. If it names none, SPF is skipped.
func (m *mail) beginRelayed() error {
	held := m.held
	m.held = nil
	origin, t := m.snapshot.Clients.Relayed(m.conn.Remote.Addr(), held, 0, m.conn.User)
	switch {
	case t.Unchecked():
		m.skip = t
	case t == clients.Unknown:
		m.engine.Log.Warn("no client address in the trace fields of a trusted relay", "door", listener.Milter, "relay", m.conn.Remote.Addr().String())
		fallthrough
	default:
		m.tx = m.engine.Begin(m.ctx, m.snapshot, origin.Conn, origin.Helo, m.reversePath)
	}
	for i := range held.Len() {
		if err := m.take(held.At(i)); err != nil {
			return err
		}
	}
	return nil
}

func (m *mail) write(data []byte) error {
	if m.deferMail {
		return nil
	}
	if !m.body {
		if err := m.endHeader(); err != nil {
			return err
		}
	}
	m.copy.Write(data)
	if m.tx == nil {
		return nil
	}
	m.kept.Write(data)
	_, err := m.tx.Write(data)
	return err
}

// finish returns the verdict, or nil for a message that is not checked.
func (m *mail) finish() (*postseal.Report, error) {
	if !m.body {
		if err := m.endHeader(); err != nil {
			return nil, err
		}
	}
	if m.tx == nil {
		return nil, nil
	}
	for _, r := range m.recipients {
		m.tx.Rcpt(r)
	}
	return m.tx.Finish(m.ctx)
}

// forgery finds the fields of an authenticated user that claim to be ours (RFC 8601 §5).
type forgery struct {
	seen   map[string]int
	remove []postseal.HeaderRef // in the order of the message
}

func (g *forgery) see(f message.Field, ids []string) {
	if !authres.Forged(f, ids) && !f.Is("Authentication-Results") && !f.Is("Received-SPF") {
		return
	}
	if g.seen == nil {
		g.seen = map[string]int{}
	}
	name := string(f.Name())
	key := strings.ToLower(name)
	g.seen[key]++
	if authres.Forged(f, ids) {
		g.remove = append(g.remove, postseal.HeaderRef{Name: name, Index: g.seen[key]})
	}
}

// changes are the removals, from the highest instance down.
func (g *forgery) changes() postseal.HeaderChanges {
	var c postseal.HeaderChanges
	for i := len(g.remove) - 1; i >= 0; i-- {
		c.Remove = append(c.Remove, g.remove[i])
	}
	return c
}
