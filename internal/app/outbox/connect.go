package outbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postseal/internal/core/publicip"
	"postseal/resolver"
)

// Bounds of what another server can make us do.
const (
	maxExchangers = 5       // hosts that are tried
	maxAddresses  = 4       // of a host
	maxReplies    = 1 << 20 // octets of one connection
	dialTime      = 30 * time.Second
)

// connection returns the open connection for a key, or a new one.
func (s *SMTP) connection(ctx context.Context, key string) (*smtp.Client, error) {
	if c := s.open[key]; c != nil {
		if c.Noop() == nil {
			return c, nil
		}
		s.drop(key)
	}
	addresses := []string{s.SmartHost}
	if s.SmartHost == "" {
		var err error
		if addresses, err = s.addressesOf(ctx, key); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, address := range addresses {
		c, err := s.connect(ctx, address)
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

// addressesOf are the addresses of the MX hosts of a domain, in the order in which they are tried.
func (s *SMTP) addressesOf(ctx context.Context, name string) ([]string, error) {
	hosts, err := s.exchangers(ctx, name)
	if err != nil {
		return nil, err
	}
	var list []string
	private := false
	var unknown error
	for _, host := range hosts {
		for _, t := range []resolver.Type{resolver.A, resolver.AAAA} {
			answer, err := s.Resolver.Lookup(ctx, host, t)
			if err != nil {
				unknown = fmt.Errorf("the address of %s cannot be looked up now", host)
				continue
			}
			for i := 0; i < min(len(answer.Records), maxAddresses); i++ {
				ip := answer.Records[i].Addr.Unmap()
				if !publicip.Is(ip) {
					private = true
					continue
				}
				list = append(list, netip.AddrPortFrom(ip, 25).String())
			}
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case unknown != nil:
		return nil, unknown
	case private:
		return nil, &Refusal{Code: 550, Text: "the mail servers of " + name + " have no public address"}
	}
	return nil, &Refusal{Code: 550, Text: "the mail servers of " + name + " have no address"}
}

// exchangers are the MX hosts of a domain, the preferred first, equal ones in any order (RFC 5321
// §5.1).
func (s *SMTP) exchangers(ctx context.Context, name string) ([]string, error) {
	answer, err := s.Resolver.Lookup(ctx, name, resolver.MX)
	if err != nil {
		return nil, fmt.Errorf("the mail servers of %s cannot be looked up now", name)
	}
	records := slices.Clone(answer.Records)
	if len(records) == 1 && strings.Trim(records[0].Target, ".") == "" {
		return nil, &Refusal{Code: 556, Text: name + " takes no mail (RFC 7505)"}
	}
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	slices.SortStableFunc(records, func(a, b resolver.RR) int { return int(a.Preference) - int(b.Preference) })
	hosts := []string{}
	for _, r := range records[:min(len(records), maxExchangers)] {
		hosts = append(hosts, strings.TrimSuffix(r.Target, "."))
	}
	if len(hosts) == 0 {
		hosts = append(hosts, name)
	}
	return hosts, nil
}

// connect opens a session, encrypted where the server offers that. If the handshake fails, the mail
// goes in the clear: a report that is not delivered is of no use (RFC 7435 §3).
func (s *SMTP) connect(ctx context.Context, address string) (*smtp.Client, error) {
	c, err := s.session(ctx, address, !isLoopback(address))
	var handshake *handshakeError
	if errors.As(err, &handshake) {
		return s.session(ctx, address, false)
	}
	return c, err
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// handshakeError is a STARTTLS that the server offered and that failed.
type handshakeError struct{ error }

// session connects, greets, and continues in TLS where encrypt is set and the server offers it.
func (s *SMTP) session(ctx context.Context, address string, encrypt bool) (*smtp.Client, error) {
	dial := s.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	conn = &bounded{Conn: conn, left: maxReplies}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends what waits
	defer stop()
	c, err := s.greet(ctx, conn, address, encrypt)
	if err != nil {
		conn.Close() //nolint:errcheck // the cause is err
		return nil, err
	}
	return c, nil
}

// greet begins the session. go-smtp says EHLO localhost before STARTTLS, which servers refuse, so
// what comes before TLS is ours.
func (s *SMTP) greet(ctx context.Context, conn net.Conn, address string, encrypt bool) (*smtp.Client, error) {
	if err := conn.SetDeadline(time.Now().Add(smtpTime)); err != nil {
		return nil, err
	}
	text := textproto.NewConn(conn)
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, answered(address, err)
	}
	if encrypt {
		encrypted, err := startTLS(ctx, conn, text, s.Hello, address)
		if err != nil {
			return nil, err
		}
		conn = encrypted
	}
	c := smtp.NewClient(&greeted{Conn: conn, greeting: "220 ready\r\n"})
	c.CommandTimeout, c.SubmissionTimeout = smtpTime, acceptTime
	if err := c.Hello(s.Hello); err != nil {
		var refused *smtp.SMTPError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("%s answers %d %s", address, refused.Code, refused.Message) // of this server, not of the recipient
		}
		return nil, err
	}
	return c, nil
}

// startTLS returns the connection to continue with: in TLS if the server offers it (RFC 3207).
func startTLS(ctx context.Context, conn net.Conn, text *textproto.Conn, hello, address string) (net.Conn, error) {
	if err := text.PrintfLine("EHLO %s", hello); err != nil {
		return nil, err
	}
	_, reply, err := text.ReadResponse(250)
	var refused *textproto.Error
	switch {
	case errors.As(err, &refused):
		return conn, nil // an old server: go-smtp tries HELO
	case err != nil:
		return nil, err
	}
	offered := slices.ContainsFunc(strings.Split(reply, "\n"), func(line string) bool { return strings.EqualFold(strings.TrimSpace(line), "STARTTLS") })
	if !offered {
		return conn, nil
	}
	if err := text.PrintfLine("STARTTLS"); err != nil {
		return nil, &handshakeError{err}
	}
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, &handshakeError{answered(address, err)}
	}
	host, _, _ := net.SplitHostPort(address)
	encrypted := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // opportunistic (RFC 7435)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, &handshakeError{err}
	}
	return encrypted, nil
}

// answered names the server of a reply that is about the server and not the recipient.
func answered(address string, err error) error {
	var refused *textproto.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("%s answers %d %s", address, refused.Code, refused.Msg)
	}
	return err
}

// greeted is a connection whose greeting was read already: go-smtp gets another.
type greeted struct {
	net.Conn
	greeting string
}

// Read implements net.Conn.
func (g *greeted) Read(p []byte) (int, error) {
	if g.greeting != "" {
		n := copy(p, g.greeting)
		g.greeting = g.greeting[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}

// bounded ends a connection whose server never stops answering.
type bounded struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the server sent more than %d octets: %w", maxReplies, io.ErrShortBuffer)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
