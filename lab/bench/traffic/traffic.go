// Package traffic is what the soak and the faults send to a daemon and what they find after it:
// sessions of an MTA, the next hop, the folder of bundles.
package traffic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/d--j/go-milter"
	gosmtp "github.com/emersion/go-smtp"

	"postseal/bundle"
)

// Milter begins a milter session over a connection: its client is mx.good.test at 192.0.2.1.
func Milter(conn net.Conn) (*milter.ClientSession, error) {
	m, err := milter.NewClient("tcp", "", milter.WithDialer(given{conn})).Session(milter.NewMacroBag())
	if err != nil {
		return nil, err
	}
	if _, err = m.Conn("mx.good.test", milter.FamilyInet, 25, "192.0.2.1"); err == nil {
		_, err = m.Helo("mx.good.test")
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// given is a dialer of a connection that is there already.
type given struct{ net.Conn }

func (g given) Dial(string, string) (net.Conn, error) { return g.Conn, nil }

// Send sends a message of so many octets from a domain, and returns what is to be done with it.
// The session continues with the next message.
func Send(m *milter.ClientSession, domain string, size int) (*milter.Action, error) {
	steps := []func() (*milter.Action, error){
		func() (*milter.Action, error) { return m.Mail("a@"+domain, "") },
		func() (*milter.Action, error) { return m.Rcpt("b@here.test", "") },
		m.DataStart,
		func() (*milter.Action, error) { return m.HeaderField("From", " a@"+domain, nil) },
		m.HeaderEnd,
	}
	for range size/65000 + 1 {
		steps = append(steps, func() (*milter.Action, error) {
			return m.BodyChunk(bytes.Repeat([]byte("x\r\n"), min(size, 65000)/3+1))
		})
	}
	for _, step := range steps {
		action, err := step()
		if err != nil {
			return action, err
		}
		if action.StopProcessing() {
			return action, m.Abort(nil)
		}
	}
	_, action, err := m.End()
	return action, err
}

// Accepted reports whether a message is passed on.
func Accepted(a *milter.Action) bool {
	return a.Type == milter.ActionAccept || a.Type == milter.ActionContinue
}

// NextHop takes mail on loopback and gives each message to take, until it is closed.
func NextHop(take func(io.Reader) error) (addr string, close func() error, err error) {
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return taker(take), nil }))
	s.MaxMessageBytes = 1 << 30
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go s.Serve(l)
	return l.Addr().String(), s.Close, nil
}

type taker func(io.Reader) error

func (taker) Reset()                                 {}
func (taker) Logout() error                          { return nil }
func (taker) Mail(string, *gosmtp.MailOptions) error { return nil }
func (taker) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (t taker) Data(r io.Reader) error               { return t(r) }

// Bundles is what a folder of bundles holds.
type Bundles struct {
	Whole, Octets int
	Unfinished    int // left by a process that was killed, or being written now
}

// CountBundles reads every bundle of a folder. The error names those that are broken.
func CountBundles(dir string) (b Bundles, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return b, err
	}
	var broken []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			b.Unfinished++
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			_, err = bundle.Parse(text)
		}
		if err != nil {
			broken = append(broken, fmt.Errorf("%s, %d octets: %w", e.Name(), len(text), err))
			continue
		}
		b.Whole++
		b.Octets += len(text)
	}
	return b, errors.Join(broken...)
}
