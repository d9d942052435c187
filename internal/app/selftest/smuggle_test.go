package selftest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"postseal/lab/loopback"
)

// TestSmugglingSeen: a server that takes any line ending, as Hop does, is found out by every
// vector that it falls for, and one that knows CRLF alone is not.
func TestSmugglingSeen(t *testing.T) {
	hop, err := NewHop()
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close()
	split := 0
	for _, s := range Smugglings() {
		r, err := s.Send(t.Context(), Target{Address: hop.Addr(), To: "erin@rcpt.test"})
		if err != nil {
			t.Fatal(err)
		}
		came := strings.Count(strings.Join(hop.Take(), " "), Smuggled)
		if r.Stopped != (came == 0) || r.Stopped != (len(r.Problem) == 0) {
			t.Errorf("%s: %+v, and the server took %d second messages", s.Name, r, came)
		}
		split += came
		// What every other server takes as text: white space before the dot, other octets as line endings, a
		// dot that is stuffed, and the chunk of a server that does not offer BDAT.
		safe := map[string]bool{"smuggling-space-dot": true, "smuggling-nel": true, "smuggling-vertical-tab": true, "smuggling-two-dots": true, "smuggling-bdat": true}
		if (came == 0) != safe[s.Name] {
			t.Errorf("%s: the lenient server took %d second messages", s.Name, came)
		}
	}
	if split < 19 {
		t.Errorf("a lenient server falls for %d vectors only", split)
	}
	strictHop := loopback.Serve(t, strict)
	for _, s := range Smugglings() {
		if r, err := s.Send(t.Context(), Target{Address: strictHop, To: "erin@rcpt.test"}); err != nil || r.Stopped == s.own {
			t.Errorf("%s at a server that is strict about line ends: %+v, %v", s.Name, r, err)
		}
	}
}

// strict is a server that accepts everything, and ends a message only at CRLF.CRLF.
func strict(conn net.Conn) {
	r, data, before := bufio.NewReader(conn), false, ""
	fmt.Fprint(conn, "220 strict.test ESMTP\r\n")
	for {
		piece, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch {
		case data && piece == ".\r\n" && strings.HasSuffix(before, "\r\n"):
			data = false
			fmt.Fprint(conn, "250 ok\r\n")
		case data:
		case piece == "DATA\r\n":
			data = true
			fmt.Fprint(conn, "354 continue\r\n")
		case piece == "QUIT\r\n":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
		before = piece
	}
}

// TestSmugglingRefused: a server that takes no message at all stops everything, and says how.
func TestSmugglingRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "220 x\r\n250 x\r\n450 4.7.1 come back later\r\n")
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	s := Smugglings()[0]
	r, err := s.Send(t.Context(), Target{Address: l.Addr().String(), To: "erin@rcpt.test"})
	if err != nil || !r.Stopped || r.Layer != SMTP || !strings.HasPrefix(r.Reply, "450 4.7.1") {
		t.Errorf("Send = %+v, %v, want it stopped with the reply", r, err)
	}
}
