package main

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postseal"
	"postseal/resolver/dnstest"
)

// TestServer: mail of the bank that does not come from the bank is refused, other mail is
// delivered with its results.
func TestServer(t *testing.T) {
	dns, err := dnstest.Parse(`
bank.test.        300 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.test. 300 TXT "v=DMARC1; p=reject"
home.test.        300 TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.home.test. 300 TXT "v=DMARC1; p=reject"
`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := newServer(v, &out)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	send := func(from string) error {
		text := "From: " + from + "\r\nSubject: hello\r\n\r\nhi\r\n"
		c, err := smtp.Dial(l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		return c.SendMail(from, []string{"b@example.net"}, strings.NewReader(text))
	}
	var refused *smtp.SMTPError
	if err := send("security@bank.test"); !errors.As(err, &refused) || refused.Code != 550 || !strings.Contains(refused.Message, "5.7.26 Ref") {
		t.Errorf("the forgery: %v, want 550 5.7.26", err)
	}
	if err := send("a@home.test"); err != nil {
		t.Errorf("honest mail: %v", err)
	}
	if got := out.String(); strings.Contains(got, "bank.test") || !strings.HasPrefix(got, "Authentication-Results: mx.example.net;") || !strings.Contains(got, "dmarc=pass") {
		t.Errorf("delivered:\n%s", got)
	}
}
