package outbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
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
// all mails of a sweep to the same host. STARTTLS is used where it is offered; certificates
// are not checked, since a smart host or MX may have any (RFC 7435).
type SMTP struct {
	SmartHost string // HOST:PORT; "" sends to MX hosts
	Hello     string // name in EHLO
	Resolver  resolver.Resolver
	// Dial connects. Nil uses the network.
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

func (s *SMTP) connection(ctx context.Context, key string) (*smtp.Client, error) {
	if c := s.open[key]; c != nil {
		if c.Noop() == nil {
			return c, nil
		}
		s.drop(key)
	}
	hosts := []string{s.SmartHost}
	if s.SmartHost == "" {
		var err error
		if hosts, err = s.exchangers(ctx, key); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, host := range hosts {
		c, err := s.connect(ctx, host)
		if err == nil {
			if s.open == nil {
				s.open = map[string]*smtp.Client{}
			}
			s.open[key] = c
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// exchangers are the MX hosts of a domain, the preferred first (RFC 5321 §5.1).
func (s *SMTP) exchangers(ctx context.Context, name string) ([]string, error) {
	answer, err := s.Resolver.Lookup(ctx, name, resolver.MX)
	if err != nil {
		return nil, fmt.Errorf("the mail servers of %s cannot be looked up now", name)
	}
	records := slices.Clone(answer.Records)
	if len(records) == 1 && strings.Trim(records[0].Target, ".") == "" {
		return nil, &Refusal{Code: 556, Text: name + " takes no mail (RFC 7505)"}
	}
	slices.SortStableFunc(records, func(a, b resolver.RR) int { return int(a.Preference) - int(b.Preference) })
	hosts := []string{}
	for _, r := range records[:min(len(records), 5)] {
		hosts = append(hosts, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), "25"))
	}
	if len(hosts) == 0 {
		hosts = append(hosts, net.JoinHostPort(name, "25"))
	}
	return hosts, nil
}

func (s *SMTP) connect(ctx context.Context, address string) (*smtp.Client, error) {
	c, err := s.hello(ctx, address, false)
	if err != nil {
		return nil, err
	}
	if offered, _ := c.Extension("STARTTLS"); !offered || loopback(address) {
		return c, nil
	}
	c.Close() //nolint:errcheck // the next connection is encrypted
	return s.hello(ctx, address, true)
}

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *SMTP) hello(ctx context.Context, address string, encrypted bool) (*smtp.Client, error) {
	dial := s.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends what waits
	defer stop()
	var c *smtp.Client
	if encrypted {
		host, _, _ := net.SplitHostPort(address)
		if c, err = smtp.NewClientStartTLS(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true}); err != nil { //nolint:gosec // opportunistic (RFC 7435)
			conn.Close() //nolint:errcheck // the cause is err
			return nil, err
		}
	} else {
		c = smtp.NewClient(conn)
	}
	c.CommandTimeout, c.SubmissionTimeout = smtpTime, acceptTime
	if err := c.Hello(s.Hello); err != nil {
		c.Close() //nolint:errcheck // the cause is err
		var refused *smtp.SMTPError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("%s answers %d %s", address, refused.Code, refused.Message) // of this server, not of the recipient
		}
		return nil, err
	}
	return c, nil
}
