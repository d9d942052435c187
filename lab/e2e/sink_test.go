//go:build e2e

package e2e

import (
	"io"
	"net"
	"slices"
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

// sink is the mailbox server that Postfix delivers to.
type sink struct {
	port   int
	server *smtp.Server

	mu   sync.Mutex
	mail []arrived
	more *sync.Cond
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
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
	return s.find(t, "for "+rcpt, func(a arrived) bool { return a.rcpt == rcpt })
}

// queuedAs waits for the message that a reply of Postfix says it has queued.
func (s *sink) queuedAs(t *testing.T, reply string) arrived {
	t.Helper()
	_, id, _ := strings.Cut(reply, "queued as ")
	return s.find(t, "of "+reply, func(a arrived) bool {
		return id != "" && slices.ContainsFunc(a.fields("Received"), func(trace string) bool { return strings.Contains(trace, " id "+id+" ") })
	})
}

// find waits for the first message that is one.
func (s *sink) find(t *testing.T, what string, is func(arrived) bool) arrived {
	t.Helper()
	timer := time.AfterFunc(60*time.Second, s.more.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(60 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if i := slices.IndexFunc(s.mail, is); i >= 0 {
			return s.mail[i]
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing arrived %s within a minute", what)
		}
		s.more.Wait()
	}
}

// all returns everything that arrived so far.
func (s *sink) all() []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mail)
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
	if strings.HasSuffix(to, "@gone.test") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
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
		s.sink.mail = append(s.sink.mail, arrived{from: s.from, rcpt: rcpt, text: string(octets)})
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
