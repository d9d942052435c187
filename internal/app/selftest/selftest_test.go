package selftest

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postseal/resolver/dnstest"
)

func attacks(t *testing.T) []Attack {
	t.Helper()
	all, err := Attacks()
	if err != nil || len(all) < 100 {
		t.Fatalf("%d attacks, %v", len(all), err)
	}
	return all
}

// TestRun: every attack is stopped, by the layer that its decision names.
func TestRun(t *testing.T) {
	layers := map[Layer]int{}
	for _, a := range attacks(t) {
		r, err := a.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		layers[r.Layer]++
		if !r.Stopped || r.Comment == "" || r.RFC == "" {
			t.Errorf("%s is not stopped: %+v", a.Name, r)
		}
	}
	for _, l := range []Layer{Limits, Author, DMARC, Fields, DNS} {
		if layers[l] == 0 {
			t.Errorf("no attack is stopped by %s", l)
		}
	}
}

// TestNotStopped: a vector that comes out otherwise is told.
func TestNotStopped(t *testing.T) {
	a := attacks(t)[0]
	a.Bundle.Envelope.IP = netip.MustParseAddr("192.0.2.1")
	a.Bundle.Message = []byte("From: dana@acme.test\r\n\r\n")
	a.Bundle.Envelope.From = "dana@acme.test"
	r, err := a.Run(t.Context())
	if err != nil || r.Stopped || r.Layer != None || len(r.Problem) == 0 {
		t.Errorf("Run = %+v, %v, want one that is not stopped", r, err)
	}
}

// TestZone: one server can answer for all attacks, with the same verdicts.
func TestZone(t *testing.T) {
	all := attacks(t)
	if _, err := dnstest.Parse(Zone(all)); err != nil {
		t.Fatal(err)
	}
	zone := Zone(all)
	for _, a := range all {
		a.Bundle.Zone = zone
		if r, err := a.Run(t.Context()); err != nil || !r.Stopped {
			t.Errorf("%s with the zone of all: %+v, %v", a.Name, r, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:25": true, "127.9.9.9:25": true, "[::1]:25": true, "localhost:25": true, "[::ffff:127.0.0.1]:25": true,
		"192.0.2.1:25": false, "mx.example.net:25": false, "localhost.evil.test:25": false, "0.0.0.0:25": false, "[::]:25": false, "127.0.0.1": false, "": false} {
		if err := Loopback(address); (err == nil) != want {
			t.Errorf("Loopback(%q) = %v", address, err)
		}
	}
	all := attacks(t)
	if _, err := all[0].Send(t.Context(), Target{Address: "192.0.2.1:25", To: "a"}); err == nil || !strings.Contains(err.Error(), "not on loopback") {
		t.Errorf("Send = %v", err)
	}
}

// TestSend: an independent server sees each attack octet for octet, and what it answers is
// told. This one refuses what says it comes from a list.
func TestSend(t *testing.T) {
	var got string
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sink{&got}, nil }))
	server.MaxLineLength = 1 << 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	for _, a := range attacks(t) {
		got = ""
		r, err := a.Send(t.Context(), Target{Address: l.Addr().String(), To: "erin@rcpt.test"})
		switch {
		case err != nil:
			t.Fatal(err)
		case r.Layer == SMTP:
			if !r.Stopped || r.Reply == "" {
				t.Errorf("%s: %+v", a.Name, r)
			}
		case strings.Contains(got, "Precedence: list") != r.Stopped:
			t.Errorf("%s: %+v", a.Name, r)
		case got != string(a.Bundle.Message):
			t.Errorf("%s came as %.300q", a.Name, got)
		}
	}
}

type sink struct{ got *string }

func (s *sink) Reset()                               {}
func (s *sink) Logout() error                        { return nil }
func (s *sink) Mail(string, *smtp.MailOptions) error { return nil }
func (s *sink) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *sink) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	*s.got = string(b)
	if err == nil && strings.Contains(*s.got, "Precedence: list") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no lists"}
	}
	return err
}
