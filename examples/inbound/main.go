// Inbound is a mail server that refuses forged mail: an SMTP server of
// github.com/emersion/go-smtp that asks postseal before it answers the end of DATA. It writes
// the mail that it accepts to standard output.
//
//	go run ./inbound [ADDRESS]
package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/emersion/go-smtp"

	"postseal"
	"postseal/resolver/stub"
)

func main() {
	addr := "127.0.0.1:2525"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	dns, err := stub.System()
	if err != nil {
		log.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns})
	if err != nil {
		log.Fatal(err)
	}
	s := newServer(v, os.Stdout)
	s.Addr = addr
	log.Fatal(s.ListenAndServe())
}

// newServer returns a server that verifies with v and delivers to out.
func newServer(v *postseal.Verifier, out io.Writer) *smtp.Server {
	s := smtp.NewServer(&backend{v, out})
	s.Domain = "mx.example.net"
	s.ReadTimeout, s.WriteTimeout = 5*time.Minute, 5*time.Minute
	s.MaxMessageBytes, s.MaxRecipients = 20<<20, 100
	return s
}

type backend struct {
	verifier *postseal.Verifier
	out      io.Writer
}

// NewSession implements smtp.Backend.
func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	conn := postseal.Conn{}
	if tcp, ok := c.Conn().RemoteAddr().(*net.TCPAddr); ok {
		conn.Remote = tcp.AddrPort()
	}
	return &session{smtp: c, out: b.out, postseal: b.verifier.Session(ctx, conn), ctx: ctx, cancel: cancel}, nil
}

// session is one SMTP connection.
type session struct {
	smtp        *smtp.Conn
	out         io.Writer
	postseal    *postseal.Session
	transaction *postseal.Transaction // nil outside of a mail transaction
	ctx         context.Context
	cancel      context.CancelFunc
}

// Mail implements smtp.Session: SPF starts here, while the client sends on.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.Reset()
	s.postseal.Helo(s.smtp.Hostname())
	s.transaction = s.postseal.Mail(from)
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.transaction.Rcpt(to)
	return nil
}

// Data implements smtp.Session: the verdict comes before the reply.
func (s *session) Data(r io.Reader) error {
	var message bytes.Buffer
	w := s.transaction.MessageWriter()
	if _, err := io.Copy(io.MultiWriter(w, &message), r); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	report, err := s.transaction.Finish(s.ctx)
	if err != nil {
		return err
	}
	log.Print(report)
	if reply := report.Decision.Reply; reply != nil {
		return &smtp.SMTPError{Code: reply.Code, EnhancedCode: smtp.EnhancedCode(reply.EnhancedCode()), Message: reply.Text()}
	}
	return report.Headers.Apply(s.out, &message)
}

// Reset implements smtp.Session.
func (s *session) Reset() {
	if s.transaction != nil {
		s.transaction.Abort()
		s.transaction = nil
	}
}

// Logout implements smtp.Session.
func (s *session) Logout() error {
	s.Reset()
	s.cancel()
	return nil
}
