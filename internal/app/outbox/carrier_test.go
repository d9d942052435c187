package outbox

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postseal/lab/loopback"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// mailServer is a mail server of others (go-smtp) that keeps what it takes.
type mailServer struct {
	address string
	answer  func(rcpt string) error

	mu       sync.Mutex
	mails    []kept
	names    []string // of EHLO
	secure   []bool
	sessions int
}

func newMailServer(t *testing.T, withTLS bool) *mailServer {
	t.Helper()
	m := &mailServer{}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secure := c.TLSConnectionState()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.names, m.secure, m.sessions = append(m.names, c.Hostname()), append(m.secure, secure), m.sessions+1
		return &mailSession{m: m}, nil
	}))
	s.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
	if withTLS {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { s.Close() })
	m.address = l.Addr().String()
	return m
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"other.test"}}
	octets, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{octets}, PrivateKey: key}
}

type mailSession struct {
	m    *mailServer
	mail kept
}

func (x *mailSession) Reset()        { x.mail = kept{} }
func (x *mailSession) Logout() error { return nil }
func (x *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	x.mail.from = from
	return nil
}
func (x *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if x.m.answer != nil {
		if err := x.m.answer(to); err != nil {
			return err
		}
	}
	x.mail.to = append(x.mail.to, to)
	return nil
}
func (x *mailSession) Data(r io.Reader) (err error) {
	x.mail.text, err = io.ReadAll(r)
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.mails = append(x.m.mails, x.mail)
	return err
}

const directZone = `acme.test. 60 MX 10 mx.acme.test.
mx.acme.test. 60 A 9.9.9.1
plain.test. 60 A 9.9.9.3
two.test. 60 MX 20 b.two.test.
two.test. 60 MX 10 a.two.test.
a.two.test. 60 A 9.9.9.8
a.two.test. 60 AAAA 2620:fe::9
b.two.test. 60 A 9.9.9.2
null.test. 60 MX 0 .
inside.test. 60 MX 10 mx.inside.test.
mx.inside.test. 60 A 127.0.0.1
mx.inside.test. 60 A 10.0.0.1
mx.inside.test. 60 AAAA ::1
empty.test. 60 MX 10 mx.empty.test.
; FAULT down.test MX SERVFAIL
away.test. 60 MX 10 mx.away.test.
; FAULT mx.away.test A SERVFAIL
; FAULT mx.away.test AAAA SERVFAIL
`

// direct is a carrier without a smart host, for which each address is one of servers; others do not
// answer.
func direct(t *testing.T, servers map[string]string) (s *SMTP, dialed *[]string) {
	t.Helper()
	zone, err := dnstest.Parse(directZone)
	if err != nil {
		t.Fatal(err)
	}
	dialed = new([]string)
	s = &SMTP{Hello: "mx.example.net", Resolver: zone, Dial: func(ctx context.Context, to string) (net.Conn, error) {
		*dialed = append(*dialed, to)
		if servers[to] == "" {
			return nil, errors.New("connection refused")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", servers[to])
	}}
	t.Cleanup(s.Close)
	return s, dialed
}

var aMail = []byte("Subject: x\r\n\r\n.dot\r\nbody\r\n")

// TestDirect: without a smart host a mail goes to the mail server of its recipient, and each copy
// to that of its own. A copy that cannot be sent does not matter; a recipient does.
func TestDirect(t *testing.T) {
	acme, two := newMailServer(t, true), newMailServer(t, true)
	s, dialed := direct(t, map[string]string{"9.9.9.1:25": acme.address, "9.9.9.2:25": two.address})
	for range 3 {
		if err := s.Send(t.Context(), "r@mx.example.net", []string{"d@acme.test", "me@two.test", "x@null.test"}, aMail); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"9.9.9.1:25", "9.9.9.8:25", "[2620:fe::9]:25", "9.9.9.2:25"}; !slices.Equal(*dialed, want) {
		t.Errorf("dialed %v, want %v", *dialed, want)
	}
	for _, m := range []*mailServer{acme, two} {
		if len(m.mails) != 3 || m.sessions != 2 || m.secure[0] || !m.secure[1] || m.names[0] != "mx.example.net" || m.names[1] != "mx.example.net" {
			t.Errorf("%d mails; EHLO %q, in TLS %v: want one connection, named and encrypted", len(m.mails), m.names, m.secure)
		}
		if got := m.mails[0]; got.from != "r@mx.example.net" || len(got.to) != 1 || !bytes.Equal(got.text, aMail) {
			t.Errorf("%+v", got)
		}
	}
}

// TestDirectRefusals: what is refused for good, and what is tried again. A host that is not on the
// public internet is never connected to, whoever names it.
func TestDirectRefusals(t *testing.T) {
	server := newMailServer(t, false)
	server.answer = func(to string) error {
		switch {
		case strings.HasPrefix(to, "gone@"):
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		case strings.HasPrefix(to, "grey@"):
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "later"}
		}
		return nil
	}
	busy := loopback.Serve(t, func(c net.Conn) { c.Write([]byte("554 5.7.1 go away\r\n")) })
	s, dialed := direct(t, map[string]string{"9.9.9.3:25": server.address, "9.9.9.1:25": busy})
	for _, c := range []struct {
		to        string
		permanent bool
		why       string
	}{
		{"gone@plain.test", true, "no such user"}, {"grey@plain.test", false, "later"}, {"x@null.test", true, "takes no mail"}, {"x@inside.test", true, "no public address"},
		{"x@empty.test", true, "no address"}, {"x@nowhere.test", true, "no address"}, {"x@down.test", false, "cannot be looked up"}, {"x@away.test", false, "cannot be looked up"},
		{"x@acme.test", false, "answers 554"}, {"x@two.test", false, "connection refused"},
	} {
		err := s.Send(t.Context(), "r@mx.example.net", []string{c.to}, aMail)
		var refused *Refusal
		if err == nil || !strings.Contains(err.Error(), c.why) || (errors.As(err, &refused) && refused.Permanent()) != c.permanent {
			t.Errorf("%s: %v, want permanent %v", c.to, err, c.permanent)
		}
	}
	if err := s.Send(t.Context(), "r@mx.example.net", []string{"fine@plain.test"}, aMail); err != nil || len(server.mails) != 1 {
		t.Errorf("after refusals on the same connection: %v, %d mails", err, len(server.mails))
	}
	for _, a := range *dialed {
		if !strings.HasPrefix(a, "9.9.9.") && !strings.HasPrefix(a, "[2620:fe::") {
			t.Errorf("connected to %s", a)
		}
	}
}

// TestStartTLS: a server whose TLS does not work gets the mail in the clear, one that says something
// after it agreed to TLS cannot add to the session, and one that never ends its replies is left.
func TestStartTLS(t *testing.T) {
	say := func(lines ...string) func(net.Conn) {
		return func(c net.Conn) {
			for _, l := range lines {
				c.Write([]byte(l))
				buffer := make([]byte, 1000)
				c.Read(buffer) //nolint:errcheck // whatever it is
			}
		}
	}
	plain := newMailServer(t, false)
	var broken atomic.Bool
	half := loopback.Serve(t, func(c net.Conn) {
		if !broken.Swap(true) { // the first session offers TLS and fails
			say("220 mx.test\r\n", "250-mx.test\r\n250 starttls\r\n", "220 go\r\nnot TLS\r\n")(c)
			return
		}
		to, err := net.Dial("tcp", plain.address)
		if err != nil {
			return
		}
		defer to.Close()
		go io.Copy(to, c) //nolint:errcheck // it ends with the connection
		io.Copy(c, to)    //nolint:errcheck // the same
	})
	s, _ := direct(t, map[string]string{"9.9.9.3:25": half})
	if err := s.Send(t.Context(), "r@mx.example.net", []string{"x@plain.test"}, aMail); err != nil || len(plain.mails) != 1 || plain.secure[0] {
		t.Errorf("%v, %d mails", err, len(plain.mails))
	}
	for name, handle := range map[string]func(net.Conn){
		"endless greeting": func(c net.Conn) { io.Copy(c, endless("220-x\r\n")) },                       //nolint:errcheck // the client ends it
		"endless EHLO":     func(c net.Conn) { say("220 mx\r\n")(c); io.Copy(c, endless("250-x\r\n")) }, //nolint:errcheck // the same
		"endless line":     func(c net.Conn) { io.Copy(c, endless("220 xxxxxxxxxxxxxxxxxxxx")) },        //nolint:errcheck // the same
	} {
		s, _ := direct(t, map[string]string{"9.9.9.3:25": loopback.Serve(t, handle)})
		if err := s.Send(t.Context(), "r@mx.example.net", []string{"x@plain.test"}, aMail); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless repeats a text for ever.
type endless string

// Read implements io.Reader.
func (e endless) Read(p []byte) (int, error) { return copy(p, strings.Repeat(string(e), 100)), nil }

// TestSmartHost: a smart host on this machine gets mail in the clear, another one in TLS, and its
// copies in the same transaction.
func TestSmartHost(t *testing.T) {
	server := newMailServer(t, true)
	for host, secure := range map[string]bool{server.address: false, "relay.test:587": true} {
		s := &SMTP{SmartHost: host, Hello: "mx.example.net", Resolver: resolver.Resolver(nil), Dial: func(ctx context.Context, to string) (net.Conn, error) {
			if to != host {
				t.Errorf("dialed %s", to)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.address)
		}}
		server.mails, server.secure = nil, nil
		if err := s.Send(t.Context(), "r@mx.example.net", []string{"d@acme.test", "me@mx.example.net"}, aMail); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if len(server.mails) != 1 || len(server.mails[0].to) != 2 || server.secure[len(server.secure)-1] != secure {
			t.Errorf("%s: %d mails, in TLS %v", host, len(server.mails), server.secure)
		}
	}
}
