package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"postseal/bundle"
)

// replyTimeout is the timeout for one reply: a verdict may wait for the DNS.
const replyTimeout = 60 * time.Second

// Loopback checks that address is HOST:PORT of this host; attacks are sent nowhere else.
func Loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
		return fmt.Errorf("%s is not on loopback: attacks are only sent to this host", address)
	}
	return nil
}

// Target is a Postfix, or another SMTP server, on loopback.
type Target struct {
	Address string // HOST:PORT
	To      string // the forward-path, without brackets
}

// Send sends a through t. XCLIENT passes the attacker's address if the server accepts it;
// otherwise the message comes from loopback, which the listeners may trust. The error is for a
// server that does not speak SMTP.
func (a *Attack) Send(ctx context.Context, t Target) (Result, error) {
	s, err := dial(ctx, t)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	r := a.result()
	for _, step := range []struct {
		layer Layer
		do    func() (string, error)
	}{
		{SMTP, func() (string, error) { return s.greet(a.Bundle.Envelope) }},
		{SMTP, func() (string, error) { return s.command("MAIL FROM:<" + a.Bundle.Envelope.From + ">") }},
		{SMTP, func() (string, error) { return s.command("RCPT TO:<" + t.To + ">") }},
		{SMTP, func() (string, error) { return s.command("DATA") }},
		{Message, func() (string, error) { return s.data(a.Bundle.Message) }},
	} {
		reply, err := step.do()
		r.Reply = reply
		if errors.As(err, new(refusal)) {
			r.Layer, r.Stopped, r.Action = step.layer, true, "refused"
			return r, nil
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	r.Action = "accepted"
	return r, nil
}

// TakesAddress reports whether t offers XCLIENT to this host. It sends no message.
func (t Target) TakesAddress(ctx context.Context) (bool, error) {
	c, err := dial(ctx, t)
	if err != nil {
		return false, err
	}
	defer c.close()
	reply, err := c.command("EHLO selftest.test")
	if err != nil {
		return false, err
	}
	_, _ = c.command("QUIT") // it was asked all there is to ask
	return strings.Contains(reply, "XCLIENT"), nil
}

// client is one SMTP connection.
type client struct {
	conn   net.Conn
	text   *textproto.Conn
	unhook func() bool
}

// dial connects to t and reads its greeting.
func dial(ctx context.Context, t Target) (*client, error) {
	if err := Loopback(t.Address); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, text: textproto.NewConn(conn)}
	c.unhook = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if _, err := c.read(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() {
	c.unhook()
	c.conn.Close()
}

// next returns the next reply, on one line.
func (c *client) next() (code int, reply string, err error) {
	c.conn.SetDeadline(time.Now().Add(replyTimeout))
	code, text, err := c.text.ReadResponse(0)
	if err != nil {
		return 0, "", err
	}
	return code, fmt.Sprintf("%d %s", code, strings.ReplaceAll(text, "\n", " ")), nil
}

// refusal is a reply of 4xx or 5xx.
type refusal string

func (r refusal) Error() string { return string(r) }

// read returns the next reply, and a refusal as an error too.
func (c *client) read() (string, error) {
	code, reply, err := c.next()
	if code >= 400 {
		err = refusal(reply)
	}
	return reply, err
}

// command sends line, whose octets are the attacker's except for the line ending.
func (c *client) command(line string) (string, error) {
	line = strings.NewReplacer("\r", "", "\n", "").Replace(line)
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return "", err
	}
	return c.read()
}

// greet identifies the client, with XCLIENT if allowed.
func (c *client) greet(from bundle.Envelope) (string, error) {
	hello := "EHLO " + from.Helo
	reply, err := c.command(hello)
	if err != nil || !strings.Contains(reply, "XCLIENT") {
		return reply, err
	}
	address := from.IP.String()
	if from.IP.Is6() {
		address = "IPV6:" + address
	}
	if reply, err = c.command("XCLIENT NAME=" + from.Helo + " ADDR=" + address); err != nil {
		return reply, err
	}
	return c.command(hello)
}

// data sends the message octet for octet, with the dots that SMTP requires (RFC 5321 §4.5.2).
func (c *client) data(message []byte) (string, error) {
	text := bytes.ReplaceAll(append([]byte("\r\n"), message...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if !bytes.HasSuffix(text, []byte("\r\n")) {
		text = append(text, "\r\n"...)
	}
	c.conn.SetDeadline(time.Now().Add(replyTimeout))
	if _, err := c.conn.Write(append(text, ".\r\n"...)); err != nil {
		return "", err
	}
	return c.read()
}
