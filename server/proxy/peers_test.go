package proxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postseal"
	"postseal/server/proxy"
)

// sink is a next hop by another's hand (go-smtp) that keeps what it is given.
type sink struct {
	addr string

	mu       sync.Mutex
	messages []string
	senders  []string
}

func newSink(t testing.TB) *sink {
	t.Helper()
	s := &sink{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	server.AllowInsecureAuth = true
	server.EnableSMTPUTF8 = true
	server.MaxMessageBytes = 64 << 20
	server.MaxLineLength = 1 << 20
	l := listen(t)
	s.addr = l.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); err != nil {
			t.Errorf("the next hop: %v", err)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return s
}

// take returns what came and forgets it.
func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.messages
	s.messages = nil
	return all
}

type sinkSession struct {
	sink *sink
	from string
}

func (s *sinkSession) Reset()        {}
func (s *sinkSession) Logout() error { return nil }
func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}
func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "User unknown"}
	}
	return nil
}
func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.messages = append(s.sink.messages, string(b))
	s.sink.senders = append(s.sink.senders, s.from)
	return nil
}
func (s *sinkSession) AuthMechanisms() []string { return []string{sasl.Plain, "GSSAPI"} }
func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "joe" || password != "secret" {
			return errors.New("no")
		}
		return nil
	}), nil
}

// cutOurs cuts our fields from the top of what the next hop got.
func cutOurs(got string) (rest string, ok bool) {
	_, behind, ok := strings.Cut(got, "\r\nX-Postseal-Verdict:")
	if !ok || !strings.HasPrefix(got, "Authentication-Results: mx.example.net;") {
		return "", false
	}
	_, rest, ok = strings.Cut(behind, "\r\n")
	return rest, ok
}

func withoutOurs(t testing.TB, got string) string {
	t.Helper()
	rest, ok := cutOurs(got)
	if !ok {
		t.Fatalf("the message does not begin with our fields: %.500q", got)
	}
	return rest
}

func TestLibraryPeers(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := "From: a@n.test\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef\r\n", 20000)
	for _, message := range []string{
		"From: a@n.test\r\n\r\n.\r\n..\r\n.a\r\n\r\n",
		"From: a@n.test\r\n\r\n",
		"From: a@n.test\r\nSubject: x\r\n y\r\n\r\nbody\r\n",
		"From: a@n.test\r\n\r\n8 bit \xff\x80\r\n",
		"From: a@n.test\r\n\r\n" + strings.Repeat("long", 10000) + "\r\n",
		big,
	} {
		if err := c.SendMail("a@n.test", []string{"b@example.net"}, strings.NewReader(message)); err != nil {
			t.Fatal(err)
		}
		got := hop.take()
		if len(got) != 1 || withoutOurs(t, got[0]) != message {
			t.Errorf("sent %.80q, the next hop got %.300q", message, got)
		}
	}
	if err := c.SendMail("a@n.test", []string{"nobody@example.net"}, strings.NewReader("From: a@n.test\r\n\r\n")); !isCode(err, 550) {
		t.Errorf("an unknown recipient: %v, want 550", err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
}

func isCode(err error, code int) bool {
	var e *smtp.SMTPError
	return errors.As(err, &e) && e.Code == code
}

// TestLargeMessage: 30 MB pass through without being kept in memory.
func TestLargeMessage(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}, Spool: proxy.SpoolLimits{Dir: t.TempDir(), Memory: 64 << 10}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	message := bytes.Repeat([]byte(".line of a large message, with a dot in front\r\n"), 30<<20/47)
	message = append([]byte("From: a@n.test\r\n\r\n"), message...)
	if err := c.SendMail("a@n.test", []string{"b@example.net"}, bytes.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	if got := hop.take(); len(got) != 1 || withoutOurs(t, got[0]) != string(message) {
		t.Errorf("%d messages, or another one", len(got))
	}
}

func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.net"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots, ServerName: "mx.example.net"}
}

// TestSubmission: over STARTTLS and over implicit TLS the next hop authenticates; then mail is
// not checked and unchanged.
func TestSubmission(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	hop := newSink(t)
	config := proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}, TLS: serverTLS, Auth: true}
	for _, test := range []struct {
		mode proxy.Mode
		dial func(addr string) (*smtp.Client, error)
	}{
		{proxy.Submission, func(addr string) (*smtp.Client, error) {
			conn := dial(t, addr)
			return smtp.NewClientStartTLS(conn, clientTLS)
		}},
		{proxy.Submissions, func(addr string) (*smtp.Client, error) { return smtp.DialTLS(addr, clientTLS) }},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			d := start(t, setup{config: config, mode: test.mode})
			c, err := test.dial(d.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			const message = "From: joe@n.test\r\n\r\nx\r\n"
			if err := c.SendMail("joe@n.test", []string{"b@example.net"}, strings.NewReader(message)); !isCode(err, 530) {
				t.Errorf("without authentication: %v, want 530", err)
			}
			if err := c.Auth(sasl.NewPlainClient("", "joe", "wrong")); err == nil {
				t.Error("a wrong password is taken")
			}
			if err := c.Auth(sasl.NewPlainClient("", "joe", "secret")); err != nil {
				t.Fatal(err)
			}
			if err := c.SendMail("joe@n.test", []string{"b@example.net"}, strings.NewReader(message)); err != nil {
				t.Fatal(err)
			}
			if got := hop.take(); len(got) != 1 || got[0] != message {
				t.Errorf("the next hop got %q", got)
			}
			if ok, _ := c.Extension("STARTTLS"); ok {
				t.Error("STARTTLS is offered under TLS")
			}
			if _, mechs := c.Extension("AUTH"); mechs != "PLAIN" {
				t.Errorf("AUTH %q is offered, want PLAIN alone", mechs)
			}
		})
	}
}

// TestSTARTTLSInjection: what was sent in plain text before the handshake is not read as
// if it came under TLS (CVE-2011-0411).
func TestSTARTTLSInjection(t *testing.T) {
	serverTLS, _ := certificate(t)
	hop := newSink(t)
	d := start(t, setup{config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}, TLS: serverTLS}})
	conn := dial(t, d.addr)
	if _, err := io.WriteString(conn, "EHLO a.test\r\nSTARTTLS\r\nMAIL FROM:<a@n.test>\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(got), "554 5.5.0 No data may follow STARTTLS before its reply\r\n") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestExchangers: the next hop by MX is the first that greets, by preference.
func TestExchangers(t *testing.T) {
	hop := newSink(t)
	var port uint16
	if _, err := fmt.Sscanf(hop.addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	zone := `
two.test. 60 MX 20 up.test.
two.test. 60 MX 10 down.test.
down.test. 60 A 127.0.0.9
up.test. 60 A 127.0.0.1
implicit.test. 60 A 127.0.0.1
null.test. 60 MX 0 .
only-down.test. 60 MX 10 down.test.
; FAULT fault.test MX SERVFAIL
`
	for domain, want := range map[string]bool{"two.test": true, "implicit.test": true, "null.test": false, "none.test": false, "only-down.test": false, "fault.test": false} {
		d := start(t, setup{zone: zone, config: proxy.Config{NextHop: proxy.NextHop{MX: domain, Port: port}}})
		c, err := smtp.Dial(d.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Hello("a.test"); (err == nil) != want || err != nil && !isCode(err, 421) {
			t.Errorf("%s: EHLO: %v, want success %v", domain, err, want)
		}
		c.Close()
	}
}

// TestCircle: the proxy is not its own next hop.
func TestCircle(t *testing.T) {
	l := listen(t)
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	d := startAt(t, l, setup{zone: "self.test. 60 A 127.0.0.1\n", config: proxy.Config{NextHop: proxy.NextHop{MX: "self.test", Port: port}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("a.test"); !isCode(err, 421) || !strings.Contains(d.log.String(), "other than this host") {
		t.Errorf("EHLO: %v, want 421; the log is %s", err, d.log)
	}
}

// TestDrain: a message in flight ends; a session between two messages gets 421.
func TestDrain(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{enforce: postseal.Observe, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@n.test", nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("b@example.net", nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(t.Context()) }()
	for !closed(d.addr) { // nothing else tells that the shutdown began
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "From: a@n.test\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("the message in flight: %v", err)
	}
	if err := c.Mail("a@n.test", nil); !isCode(err, 421) {
		t.Errorf("the next message: %v, want 421", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if got := hop.take(); len(got) != 1 {
		t.Errorf("the next hop got %q", got)
	}
}

func closed(addr string) bool {
	c, err := smtp.Dial(addr)
	if err != nil {
		return true
	}
	c.Close()
	return false
}

// TestHugeHeader: a header section over the limits is refused in words, and the session
// continues.
func TestHugeHeader(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{enforce: postseal.Strict, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const honest = "From: a@n.test\r\n\r\nx\r\n"
	for name, header := range map[string]string{
		"a field of 110 KiB":         "X: " + strings.Repeat("x", 110<<10) + "\r\n",
		"20,000 fields":              strings.Repeat("X: y\r\n", 20000),
		"50,000 lines of one field":  "X: y" + strings.Repeat("\r\n y", 50000) + "\r\n",
		"a field of 5 MiB":           "X: " + strings.Repeat("x", 5<<20) + "\r\n",
		"600 KiB in fields that fit": strings.Repeat("X: "+strings.Repeat("x", 50<<10)+"\r\n", 12),
	} {
		if err := c.SendMail("a@n.test", []string{"b@example.net"}, strings.NewReader(header+honest)); !isCode(err, 552) {
			t.Errorf("%s: %v, want a 552", name, err)
		}
		if got := hop.take(); len(got) != 0 {
			t.Errorf("%s: the next hop got %.80q", name, got)
		}
		if err := c.SendMail("a@n.test", []string{"b@example.net"}, strings.NewReader(honest)); err != nil || len(hop.take()) != 1 {
			t.Errorf("after %s: %v, want an honest message to be taken", name, err)
		}
	}
}

// TestForgedBeyondLimit: in observe mode a message over a limit passes, and fields in our name
// do not pass with it, wherever they stand.
func TestForgedBeyondLimit(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{enforce: postseal.Observe, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	c, err := smtp.Dial(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const ours, other = "Authentication-Results: mx.example.net; dmarc=pass\r\n", "Authentication-Results: other.test; dmarc=pass\r\n"
	for name, huge := range map[string]string{"a field": "X: " + strings.Repeat("x", 200<<10) + "\r\n", "fields": strings.Repeat("X: y\r\n", 5000),
		"our own field": "Authentication-Results: mx.example.net; dmarc=pass (" + strings.Repeat("x", 200<<10) + ")\r\n"} {
		message := ours + huge + other + ours + "Authentication-Results : mx.example.net\r\n\t; dmarc=pass\r\nX-Postseal-Verdict: accept\r\nFrom: a@n.test\r\n\r\nAuthentication-Results: mx.example.net; in the body\r\n"
		if err := c.SendMail("a@n.test", []string{"b@example.net"}, strings.NewReader(message)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := hop.take()
		if len(got) != 1 {
			t.Fatalf("%s: %d messages", name, len(got))
		}
		header, body, _ := strings.Cut(got[0], "\r\n\r\n")
		_, rest, _ := strings.Cut(header, "X-Postseal-Verdict:") // ours, on top
		if strings.Contains(rest, "mx.example.net") || strings.Contains(rest, "X-Postseal") || !strings.Contains(rest, "other.test") || !strings.Contains(body, "in the body") {
			t.Errorf("%s: the next hop got %.600q … %q", name, got[0], got[0][max(0, len(got[0])-400):])
		}
	}
}
