package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postseal/lab/listenertest"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

const zone = `
pass.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.pass.test. 60 TXT "v=DMARC1; p=reject"
reject.test. 60 TXT "v=spf1 -all"
_dmarc.reject.test. 60 TXT "v=DMARC1; p=reject"
quarantine.test. 60 TXT "v=spf1 -all"
_dmarc.quarantine.test. 60 TXT "v=DMARC1; p=quarantine"
client.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
slow.test. 60 TXT "v=spf1 -all"
_dmarc.slow.test. 60 TXT "v=DMARC1; p=reject"
; FAULT slow._domainkey.slow.test TXT SERVFAIL
`

// server is a milter listener on loopback with the names of zone.
type server struct {
	*listener.Server
	engine *listener.Engine
	log    *listenertest.Log
	addr   string
}

func dns(t testing.TB) resolver.Resolver {
	t.Helper()
	r, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func start(t testing.TB, config string) *server {
	t.Helper()
	return startWith(t, dns(t), config)
}

func startWith(t testing.TB, r resolver.Resolver, config string) *server {
	t.Helper()
	log := &listenertest.Log{}
	e := listenertest.Engine(t, r, config, log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: New(e, 0), engine: e, log: log, addr: l.Addr().String()}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s
}

// logged is the log, with the verdicts of all messages that were answered.
func (s *server) logged() string {
	s.engine.Settle(context.Background())
	return s.log.String()
}

// mta is a mail server that talks to the filter, packet by packet.
type mta struct {
	t    testing.TB
	conn net.Conn
	// What it offers. Postfix offers all.
	version, actions, steps uint32
	agreed                  terms
	asked                   string // the macro requests as they came
}

func dial(t testing.TB, s *server) *mta {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newMTA(t, c)
}

// pipes is a listener whose connections are pipes, for tests on their own clock.
type pipes struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.close(); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// servePipes serves until the test ends.
func servePipes(t testing.TB, e *listener.Engine) (*listener.Server, *pipes) {
	l := &pipes{conns: make(chan net.Conn)}
	l.closed, l.close = context.WithCancel(context.Background())
	s, ended := New(e, 0), make(chan struct{})
	go func() {
		defer close(ended)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return s, l
}

func (l *pipes) dial(t testing.TB) *mta {
	ours, theirs := net.Pipe()
	l.conns <- ours
	t.Cleanup(func() { theirs.Close() })
	return newMTA(t, theirs)
}

func newMTA(t testing.TB, c net.Conn) *mta {
	return &mta{t: t, conn: c, version: 6, actions: 0x1ff, steps: 0x1fffff}
}

// connect negotiates and says who the client is.
func connect(t testing.TB, s *server, ip string) *mta {
	t.Helper()
	m := dial(t, s)
	m.negotiate()
	m.client(ip)
	return m
}

func packet(c byte, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	return append(append(b, c), data...)
}

func (m *mta) send(c byte, data string) {
	m.t.Helper()
	if _, err := m.conn.Write(packet(c, data)); err != nil {
		m.t.Logf("send %c: %v", c, err)
	}
}

// timeout outlasts the time limit of a message, which tests of it run on their own clock.
const timeout = time.Minute

// read returns the next reply as its letter and data.
func (m *mta) read() (string, error) {
	m.conn.SetReadDeadline(time.Now().Add(timeout))
	var head [4]byte
	if _, err := io.ReadFull(m.conn, head[:]); err != nil {
		return "", err
	}
	data := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(m.conn, data)
	return string(data), err
}

func (m *mta) negotiate() {
	m.t.Helper()
	var data []byte
	for _, n := range []uint32{m.version, m.actions, m.steps} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	m.send('O', string(data))
	answer, err := m.read()
	if err != nil || len(answer) < 13 || answer[0] != 'O' {
		m.t.Fatalf("negotiation: %q, %v", answer, err)
	}
	b := []byte(answer[1:])
	m.agreed = terms{binary.BigEndian.Uint32(b), actions(binary.BigEndian.Uint32(b[4:])), steps(binary.BigEndian.Uint32(b[8:]))}
	m.asked = answer[13:]
	if m.agreed.version > m.version || uint32(m.agreed.actions)&^m.actions != 0 || uint32(m.agreed.steps)&^m.steps != 0 {
		m.t.Fatalf("agreed to %+v, offered %#x %#x %#x", m.agreed, m.version, m.actions, m.steps)
	}
}

// tell sends a command, and reads its reply when there is one.
func (m *mta) tell(c byte, data string) {
	m.t.Helper()
	m.send(c, data)
	if m.agreed.silent(command(c)) {
		return
	}
	if got, err := m.read(); got != "c" {
		m.t.Errorf("reply to %c: %q, %v, want c", c, got, err)
	}
}

func (m *mta) macros(c byte, pairs ...string) {
	m.t.Helper()
	m.send('D', string(c)+strings.Join(pairs, "\x00")+"\x00")
}

func (m *mta) client(ip string) {
	m.t.Helper()
	family := "4"
	if strings.Contains(ip, ":") {
		family = "6"
	}
	m.tell('C', "client.test\x00"+family+"\x00\x19"+ip+"\x00")
	m.tell('H', "client.test\x00")
}

// envelope is MAIL FROM, RCPT TO and DATA.
func (m *mta) envelope(from string) {
	m.t.Helper()
	m.tell('M', "<"+from+">\x00SIZE=10\x00BODY=8BITMIME\x00")
	m.macros('R', "i", "4cXk2")
	m.tell('R', "<to@here.test>\x00")
	m.tell('T', "")
}

// content sends a message with LF line endings as Postfix does: fields with their leading space
// if that was agreed on.
func (m *mta) content(message string) {
	m.t.Helper()
	header, body, _ := strings.Cut(message, "\n\n")
	name, value := "", ""
	flush := func() {
		if name != "" {
			if m.agreed.steps&leadingSpace == 0 {
				value = strings.TrimPrefix(value, " ")
			}
			m.tell('L', name+"\x00"+value+"\x00")
		}
	}
	for line := range strings.SplitSeq(header, "\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			value += "\n" + line
			continue
		}
		flush()
		name, value, _ = strings.Cut(line, ":")
	}
	flush()
	m.tell('N', "")
	if body != "" {
		m.tell('B', strings.ReplaceAll(body, "\n", "\r\n"))
	}
}

// end ends the message and returns all replies, progress omitted.
func (m *mta) end() []string {
	m.t.Helper()
	m.send('E', "")
	var all []string
	for {
		r, err := m.read()
		if err != nil {
			m.t.Errorf("the end of the message: %v after %q", err, all)
			return append(all, "error")
		}
		if r == "p" {
			continue
		}
		all = append(all, show(r))
		if strings.Contains("cartydf", r[:1]) {
			return all
		}
	}
}

// show writes a reply so that it can be read: numbers and NULs visible.
func show(r string) string {
	if (r[0] == 'm' || r[0] == 'i') && len(r) > 5 {
		return fmt.Sprintf("%c %d %s", r[0], binary.BigEndian.Uint32([]byte(r[1:5])), strings.ReplaceAll(r[5:], "\x00", "|"))
	}
	return strings.ReplaceAll(r, "\x00", "|")
}

// message sends one whole message and returns the replies to its end.
func (m *mta) message(from, message string) []string {
	m.t.Helper()
	m.envelope(from)
	m.content(message)
	return m.end()
}

const (
	passes      = "From: a@pass.test\nSubject: x\n\nhello\n"
	rejected    = "From: a@reject.test\nSubject: x\n\nhello\n"
	quarantined = "From: a@quarantine.test\nSubject: x\n\nhello\n"
)

// held is a resolver whose answers wait until release.
type held struct {
	resolver.Resolver
	release chan struct{}
}

func (h held) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-h.release:
		return h.Resolver.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}

// gone reports whether the filter closed the connection, after what it still said.
func (m *mta) gone() (said []string) {
	m.t.Helper()
	for {
		r, err := m.read()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "reset") {
				return said
			}
			m.t.Errorf("the session goes on: %v", err)
			return said
		}
		said = append(said, show(r))
	}
}
