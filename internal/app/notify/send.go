package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/smtp"
	"os/exec"
	"strings"
	"time"
)

// Channel brings events to a person.
type Channel interface {
	// Name is for the log.
	Name() string
	Send(ctx context.Context, e *Event) error
}

// sendTime bounds one attempt of a channel.
const sendTime = 30 * time.Second

// Command runs a program with the subject and the body on its standard input, and the fields of
// the event in POSTSEAL_KIND, POSTSEAL_NAME and POSTSEAL_STATE.
type Command []string

// Name implements Channel.
func (c Command) Name() string { return "command" }

// Send implements Channel. A program that fails, or does not end within 30 s, is an error.
func (c Command) Send(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	run := exec.CommandContext(ctx, c[0], c[1:]...)
	run.Stdin = strings.NewReader(e.Subject() + "\n\n" + e.Body())
	run.Env = append(run.Environ(), "POSTSEAL_KIND="+e.Kind, "POSTSEAL_NAME="+e.Name, "POSTSEAL_STATE="+e.State)
	run.WaitDelay = time.Second
	out := &tail{}
	run.Stdout, run.Stderr = out, out
	if err := run.Run(); err != nil {
		return fmt.Errorf("%s: %w: %q", c[0], err, out.text)
	}
	return nil
}

// tail keeps the first octets of what a program writes.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 200
	t.text = append(t.text, p[:min(len(p), most-len(t.text))]...)
	return len(p), nil
}

// Webhook posts the event as JSON, with the subject and the body in the field text, which chat
// programs show. The URL is a secret: no error holds it.
type Webhook string

// Name implements Channel.
func (w Webhook) Name() string { return "webhook" }

// Send implements Channel. An answer other than 2xx is an error; redirects are not followed.
func (w Webhook) Send(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	shown := *e
	shown.Text = e.Subject() + "\n" + e.Body()
	body, err := json.Marshal(&shown)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(w), bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answers with %s", answer.Status)
	}
	return nil
}

func withoutURL(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return errors.New("no answer")
}

// Mail sends mail through a smart host, with STARTTLS where it offers that.
type Mail struct {
	Network, SmartHost string // as of net.Dial
	From               string
	To                 []string
}

// Name implements Channel.
func (m Mail) Name() string { return "mail" }

// Send implements Channel. The message says that a program wrote it (RFC 3834 §5), so that no
// vacation notice answers it.
func (m Mail) Send(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, m.Network, m.SmartHost)
	if err != nil {
		return err
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return err
		}
	}
	host, _, err := net.SplitHostPort(m.SmartHost)
	if err != nil {
		host = "localhost"
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if err := c.Hello(e.Host); err != nil {
		return err
	}
	if offered, _ := c.Extension("STARTTLS"); offered {
		// A smart host often has a certificate that it made itself. Without STARTTLS the mail goes
		// in the clear, so TLS without a check is never worse.
		if err := c.StartTLS(&tls.Config{ServerName: host, InsecureSkipVerify: true}); err != nil {
			return err
		}
	}
	if err := c.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(e)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func (m Mail) message(e *Event) []byte {
	var b bytes.Buffer
	host := m.From[strings.LastIndexByte(m.From, '@')+1:]
	for _, f := range [][2]string{{"From", "postseal <" + m.From + ">"}, {"To", strings.Join(m.To, ",\r\n ")}, {"Subject", mime.QEncoding.Encode("utf-8", oneLine(e.Subject()))},
		{"Date", e.At.Format(time.RFC1123Z)}, {"Message-ID", "<" + rand.Text() + "@" + host + ">"}, {"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"}} {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	q.Write([]byte(e.Body()))
	q.Close()
	return b.Bytes()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
