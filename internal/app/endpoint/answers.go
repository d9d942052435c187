package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/d--j/go-milter"
)

// Patience is how long Answers waits if ctx has no deadline.
const Patience = 10 * time.Second

// Split returns the network and the address of a listener.
func Split(listener string) (network, address string) {
	if path, unix := strings.CutPrefix(listener, "unix:"); unix {
		return "unix", path
	}
	return "tcp", listener
}

// Dialer returns a function that always dials this listener.
func Dialer(listener string) func(context.Context, string, string) (net.Conn, error) {
	network, address := Split(listener)
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// Cause returns the part of a network error that gives the reason.
func Cause(err error) error {
	var call *os.SyscallError
	var operation *net.OpError
	switch {
	case errors.As(err, &call):
		return call.Err
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}

// Answers queries a listener with its own protocol. The error says why it does not answer.
func Answers(ctx context.Context, name, address string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var err error
	switch name {
	case Milter:
		var s *milter.ClientSession
		if s, err = Session(ctx, address, milter.NewMacroBag()); err == nil {
			err = s.Close()
		}
	case Policy:
		var action string
		if action, err = AskPolicy(ctx, address); err == nil && action == "" {
			err = errors.New("it gives no action")
		}
	case HTTP:
		var status string
		if status, _, err = Ask(ctx, address, "/healthz"); err == nil && status != "200 OK" {
			err = errors.New("it answers " + status)
		}
	case Public:
		_, _, err = Ask(ctx, address, "/r/")
	default:
		err = greeted(ctx, address)
	}
	return Cause(err)
}

// Session negotiates with a milter as Postfix does.
func Session(ctx context.Context, listener string, macros milter.Macros) (*milter.ClientSession, error) {
	timeout := Patience
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	network, address := Split(listener)
	client := milter.NewClient(network, address, milter.WithReadTimeout(timeout), milter.WithWriteTimeout(timeout), milter.WithDialer(&net.Dialer{Timeout: timeout}),
		milter.WithActions(milter.OptAddHeader|milter.OptChangeHeader|milter.OptQuarantine))
	return client.Session(macros)
}

// policyRequest is about a message that does not exist, from an address for documentation (RFC
// 5737) and a domain that does not exist (RFC 6761).
const policyRequest = `request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=192.0.2.1
client_name=unknown
reverse_client_name=unknown
helo_name=doctor.invalid
sender=doctor@postseal.invalid
recipient=postmaster@postseal.invalid
instance=doctor

`

// AskPolicy sends the policy service one request.
func AskPolicy(ctx context.Context, listener string) (action string, err error) {
	conn, err := Dialer(listener)(ctx, "", "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, policyRequest); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(io.LimitReader(conn, 64<<10))
	for lines.Scan() && lines.Text() != "" {
		if value, ok := strings.CutPrefix(lines.Text(), "action="); ok {
			action = value
		}
	}
	return action, lines.Err()
}

// Ask gets a page of the http listener: its status and the start of its text.
func Ask(ctx context.Context, listener, path string) (status, text string, err error) {
	client := &http.Client{Transport: &http.Transport{DialContext: Dialer(listener), DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return "", "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
	return response.Status, strings.Join(strings.Fields(string(body)), " "), nil
}

// greeted waits for the greeting of an SMTP server.
func greeted(ctx context.Context, listener string) error {
	conn, err := Dialer(listener)(ctx, "", "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1000)).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "220") {
		return fmt.Errorf("it says %.40q", line)
	}
	_, err = io.WriteString(conn, "QUIT\r\n")
	return err
}
