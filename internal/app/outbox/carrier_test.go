package outbox

import (
	"context"
	"net"
	"slices"
	"testing"

	"postseal/resolver/dnstest"
)

// TestDirect: without a smart host a mail goes to the mail server of its recipient, and each copy
// to that of its own. A copy that cannot be sent does not matter; a recipient does.
func TestDirect(t *testing.T) {
	mails, address := newSink(t)
	zone, err := dnstest.Parse("acme.test. 60 MX 10 mx.acme.test.\nmx.example.net. 60 MX 20 b.example.net.\nmx.example.net. 60 MX 10 a.example.net.\nnull.test. 60 MX 0 .\n")
	if err != nil {
		t.Fatal(err)
	}
	var dialed []string
	s := &SMTP{Hello: "mx.example.net", Resolver: zone, Dial: func(ctx context.Context, to string) (net.Conn, error) {
		dialed = append(dialed, to)
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}}
	defer s.Close()
	mail := []byte("Subject: x\r\n\r\nbody\r\n")
	if err := s.Send(t.Context(), "r@mx.example.net", []string{"d@acme.test", "me@mx.example.net", "x@null.test"}, mail); err != nil {
		t.Fatal(err)
	}
	if want := []string{"mx.acme.test:25", "a.example.net:25"}; !slices.Equal(dialed, want) || len(mails.mails) != 2 {
		t.Errorf("dialed %v, want %v; %d mails", dialed, want, len(mails.mails))
	}
	if err := s.Send(t.Context(), "r@mx.example.net", []string{"x@null.test", "me@mx.example.net"}, mail); err == nil || len(mails.mails) != 2 {
		t.Errorf("%v, %d mails", err, len(mails.mails))
	}
}
