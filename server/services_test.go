package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postseal/lab/loopback"
	"postseal/server/listener"
)

// nextHop is a mail server that answers every command with its name.
func nextHop(t *testing.T, name string) string {
	t.Helper()
	return loopback.Serve(t, func(conn net.Conn) {
		fmt.Fprintf(conn, "220 %s\r\n", name)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			fmt.Fprintf(conn, "250 %s\r\n", name)
		}
	})
}

// converse sends octets and returns what comes until the other side ends.
func converse(t *testing.T, addr net.Addr, octets string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, octets); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// TestPolicyAndSMTP: both listeners take their configuration from the file, and a new one with
// SIGHUP.
func TestPolicyAndSMTP(t *testing.T) {
	const open = "[listen]\npolicy = '127.0.0.1:0'\nsmtp = '127.0.0.1:0'\n"
	d := run(t, open+"[proxy]\nnext_hop = '"+nextHop(t, "one")+"'\n[policy]\nreceived_spf = false\n")
	const request = "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\nhelo_name=x.test\nsender=a@reject.test\n\n"
	const session = "EHLO a.test\r\nVRFY x\r\nQUIT\r\n"
	if got := converse(t, d.Addr(listener.Policy), request); got != "action=DUNNO\n\n" {
		t.Errorf("policy: %q", got)
	}
	if got := converse(t, d.Addr(listener.SMTP), session); !strings.HasPrefix(got, "220 mx.test ESMTP\r\n") || !strings.Contains(got, "\r\n250 one\r\n") {
		t.Errorf("SMTP: %q", got)
	}
	d.write(open + "[proxy]\nnext_hop = '" + nextHop(t, "two") + "'\n[spf]\nfail = 'reject'\n")
	d.reread("reloaded")
	if got := converse(t, d.Addr(listener.SMTP), session); !strings.Contains(got, "\r\n250 two\r\n") {
		t.Errorf("SMTP after the reload: %q", got)
	}
	if got := converse(t, d.Addr(listener.Policy), request); !strings.HasPrefix(got, "action=550 5.7.23 ") {
		t.Errorf("policy after the reload: %q", got)
	}
	d.write(open + "[proxy]\nnext_hop = '127.0.0.1:1'\ncertificate = 'none.pem'\nkey = 'none.pem'\n")
	d.reread("[proxy] certificate: open none.pem")
	if got := converse(t, d.Addr(listener.SMTP), session); !strings.Contains(got, "\r\n250 two\r\n") {
		t.Errorf("SMTP after a bad reload: %q", got)
	}
}
