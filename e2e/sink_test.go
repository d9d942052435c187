//go:build e2e

package e2e

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// arrived is a message that Postfix delivered.
type arrived struct {
	from string
	rcpt string
	text string // as transferred, with CRLF
}

// sink is the mailbox server behind Postfix.
type sink struct {
	port   int
	server *smtp.Server

	mu   sync.Mutex
	mail map[string][]arrived // by recipient
	more *sync.Cond
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{mail: map[string][]arrived{}}
	s.more = sync.NewCond(&s.mu)
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	s.server.Domain, s.server.EnableSMTPUTF8, s.server.EnableDSN = "sink.example.net", true, true
	s.server.MaxLineLength = 1 << 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.Serve(l)
	}()
	t.Cleanup(func() {
		s.server.Close()
		<-done
	})
	return s
}

// to waits for the message to a recipient.
func (s *sink) to(t *testing.T, rcpt string) arrived {
	t.Helper()
	timer := time.AfterFunc(60*time.Second, s.more.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(60 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mail[rcpt]) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("nothing arrived for %s within a minute", rcpt)
		}
		s.more.Wait()
	}
	return s.mail[rcpt][0]
}

// all returns everything that arrived so far.
func (s *sink) all() []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []arrived
	for _, list := range s.mail {
		all = append(all, list...)
	}
	return all
}

type sinkSession struct {
	sink *sink
	from string
	rcpt []string
}

func (s *sinkSession) Reset()        { s.from, s.rcpt = "", nil }
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.rcpt = append(s.rcpt, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	octets, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, rcpt := range s.rcpt {
		s.sink.mail[rcpt] = append(s.sink.mail[rcpt], arrived{from: s.from, rcpt: rcpt, text: string(octets)})
	}
	s.sink.more.Broadcast()
	return nil
}

// fields returns the values of all fields of a name, unfolded, from the top.
func (a arrived) fields(name string) []string {
	header, _, _ := strings.Cut(a.text, "\r\n\r\n")
	header = strings.NewReplacer("\r\n\t", " ", "\r\n ", " ").Replace(header)
	var values []string
	for line := range strings.SplitSeq(header, "\r\n") {
		n, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(n), name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}
