package stub_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/resolver"
	"postseal/resolver/stub"
)

// texted answers with text, but for names that begin with "lost": those it does not hear.
func texted(text string) func(*net.UDPConn, seen) {
	return func(conn *net.UDPConn, q seen) {
		if !strings.HasPrefix(q.msg.Question[0].Name, "lost") {
			answerText(conn, q, text, nil)
		}
	}
}

// long is a timeout that no test waits for.
const long = time.Minute

// learn has the first server answer often enough to know its pace.
func learn(t *testing.T, r *stub.Client) {
	t.Helper()
	for i := range 16 {
		ask(t, r, fmt.Sprintf("n%d.e.test", i), "first")
	}
}

func ask(t *testing.T, r *stub.Client, name, want string) {
	t.Helper()
	a, err := r.Lookup(t.Context(), name, resolver.TXT)
	if err != nil || len(a.Records) != 1 || a.Records[0].Text != want {
		t.Fatalf("%s: %+v, %v, want %q", name, a, err, want)
	}
}

// TestHedge: a question that the first server did not hear is answered by the second, long
// before a timeout; a server that is slower all the time counts as silent.
func TestHedge(t *testing.T) {
	first, second := serveWire(t, texted("first")), serveWire(t, func(conn *net.UDPConn, q seen) { answerText(conn, q, "second", nil) })
	r := client(t, stub.Config{Timeout: long}, first.addr(), second.addr())
	learn(t, r)
	if n := len(second.questions()); n > 0 {
		t.Errorf("the second server was asked %d times before the pace of the first was known", n)
	}
	for i := range 3 {
		ask(t, r, fmt.Sprintf("lost%d.e.test", i), "second")
	}
	heard := len(first.questions())
	ask(t, r, "held.e.test", "second")
	if len(first.questions()) != heard {
		t.Error("a server that lost three times in a row is asked first again")
	}
}

// TestHedgeFailure: what the second server cannot answer is still waited for at the first.
func TestHedgeFailure(t *testing.T) {
	release := make(chan struct{})
	first := serveWire(t, func(conn *net.UDPConn, q seen) {
		if strings.HasPrefix(q.msg.Question[0].Name, "late") {
			<-release
		}
		answerText(conn, q, "first", nil)
	})
	second := serveWire(t, func(conn *net.UDPConn, q seen) {
		answerText(conn, q, "", func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeServerFailure, nil })
		close(release)
	})
	r := client(t, stub.Config{Timeout: long}, first.addr(), second.addr())
	learn(t, r)
	ask(t, r, "late.e.test", "first")
}
