package outbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postseal/resolver"
)

// Carrier hands mails over.
type Carrier interface {
	// Send sends a mail to the first recipient, and a copy to the others. The error is a
	// *Refusal if the server answered.
	Send(ctx context.Context, from string, to []string, mail []byte) error
	// Close ends the connections that are open.
	Close()
}

// Refusal is the reply of a server that does not take a mail.
type Refusal struct {
	Code int
	Text string
}

// Error implements error.
func (e *Refusal) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Text) }

// Permanent reports whether another attempt is of no use (RFC 5321 §4.2.1).
func (e *Refusal) Permanent() bool { return e.Code >= 500 }

// SMTP sends over a smart host, or to the MX hosts of each recipient. A connection is used for
// all mails of a sweep to the same host. STARTTLS is used where it is offered and works;
// certificates are not checked, since a smart host or MX may have any (RFC 7435). MX hosts are
// other people's to name, so only public addresses of theirs are connected to.
type SMTP struct {
	SmartHost string // HOST:PORT; "" sends to MX hosts
	Hello     string // name in EHLO
	Resolver  resolver.Resolver
	// Dial connects to HOST:PORT of a smart host, ADDRESS:25 of an MX host. Nil uses the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	open map[string]*smtp.Client // by smart host or recipient's domain
}

// smtpTime bounds a command, and acceptTime the wait for the reply to a mail: one that is given
// up too early comes twice (RFC 5321 §4.5.3.2.6).
const (
	smtpTime   = time.Minute
	acceptTime = 5 * time.Minute
)

// Close implements Carrier.
func (s *SMTP) Close() {
	for _, c := range s.open {
		if c.Quit() != nil {
			c.Close() //nolint:errcheck // the mails are handed over
		}
	}
	clear(s.open)
}

// Send implements Carrier.
func (s *SMTP) Send(ctx context.Context, from string, to []string, mail []byte) error {
	if s.SmartHost != "" {
		return s.over(ctx, s.SmartHost, from, to, mail)
	}
	err := s.over(ctx, hostOf(to[0]), from, to[:1], mail)
	for _, address := range to[1:] {
		if err == nil {
			s.over(ctx, hostOf(address), from, []string{address}, mail) //nolint:errcheck // a copy that is refused does not matter
		}
	}
	return err
}

// over sends a mail over the smart host, or to the MX hosts of a domain.
func (s *SMTP) over(ctx context.Context, key, from string, to []string, mail []byte) error {
	c, err := s.connection(ctx, key)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() }) //nolint:errcheck // it ends what waits
	defer stop()
	err = transaction(c, from, to, mail)
	var refused *smtp.SMTPError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		if err := c.Reset(); err != nil {
			s.drop(key)
		}
		return &Refusal{Code: refused.Code, Text: strings.ReplaceAll(refused.Message, "\n", " ")}
	}
	s.drop(key)
	return err
}

func (s *SMTP) drop(key string) {
	if c := s.open[key]; c != nil {
		c.Close() //nolint:errcheck // it failed already
		delete(s.open, key)
	}
}

// transaction sends one mail. A copy that is refused does not matter.
func transaction(c *smtp.Client, from string, to []string, mail []byte) error {
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	for i, address := range to {
		if err := c.Rcpt(address, nil); err != nil && i == 0 {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(mail); err != nil {
		return err
	}
	failpoint("data")
	return w.Close()
}
