package proxy_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal"
	"postseal/server/proxy"
)

// converse sends octets as a client does that never reads before it has sent all, and
// returns all replies.
func converse(t testing.TB, addr, octets string) string {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(conn) // what came before the other side hung up counts
		got <- string(all)
	}()
	if _, err := io.WriteString(conn, octets); err == nil {
		conn.(*net.TCPConn).CloseWrite()
	}
	return <-got
}

// TestSmuggling sends a message with each end of data that some server may take for one
// (CVE-2023-51764, -51765, -51766 and the like), and after it the commands of a second message.
// The next hop must see neither or one message, never the second.
func TestSmuggling(t *testing.T) {
	hop := newSink(t)
	d := start(t, setup{enforce: postseal.Observe, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	const envelope = "MAIL FROM:<a@n.test>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nFrom: a@n.test\r\n\r\n"
	const second = "MAIL FROM:<admin@n.test>\r\nRCPT TO:<c@example.net>\r\nDATA\r\nFrom: admin@n.test\r\n\r\nsmuggled\r\n.\r\n"
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\n\r.\r\n", "\n\r.\n\r",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n .\r\n", "\r\n. \r\n", "\u0085.\u0085", "\v.\v", "\r\n..\r\n", "\r\n.\r\x00\n",
	} {
		replies := converse(t, d.addr, "EHLO a.test\r\n"+envelope+"first"+end+second+"QUIT\r\n")
		got := hop.take()
		if len(got) > 1 || len(got) == 1 && !strings.Contains(got[0], "smuggled") {
			t.Errorf("%q: the next hop got %q", end, got)
		}
		if n := strings.Count(replies, "\r\n354 "); n != 1 {
			t.Errorf("%q: DATA was answered %d times: %q", end, n, replies)
		}
		if bare := strings.ContainsAny(strings.ReplaceAll(end, "\r\n", ""), "\r\n\x00"); bare != (len(got) == 0) {
			t.Errorf("%q: bare line ends %v, messages at the next hop %d", end, bare, len(got))
		}
	}
}

// sent reports whether some line of in begins DATA with a message that fits.
func sent(in string, fits func(message string) bool) bool {
	for i := range in {
		if i > 1 && in[i-2:i] == "\r\n" {
			if message, bare, whole, _ := proxy.SlowData([]byte(in[i:])); whole && !bare && fits(string(message)) {
				return true
			}
		}
	}
	return false
}

// FuzzSession sends whatever a client may send, checked and unchecked. What the next hop
// gets as one message is one that the client sent, with the changes of its verdict; nothing
// panics.
func FuzzSession(f *testing.F) {
	hop := newSink(f)
	config := proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}, Peers: loopback}
	unchecked := start(f, setup{trusted: "127.0.0.0/8", config: config})
	checked := start(f, setup{enforce: postseal.Observe, config: config})
	const begin = "EHLO a.test\r\nMAIL FROM:<a@n.test>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
	for _, seed := range []string{
		begin + "Authentication-Results: mx.example.net; none\r\n\r\nx\r\n.\r\n",
		begin + "From x\r\n.\r\n" + begin[13:] + " fold\r\nno: x\r\n.\r\n",
		begin + "From: a@n.test\r\n\r\n..x\r\n.\r\nQUIT\r\n",
		begin + "a\n.\nb\r\n.\r\nNOOP\r\n" + begin[13:] + "x\r\n.\r\n",
		"EHLO a.test\r\nXFORWARD ADDR=192.0.2.1 HELO=+41\r\nXCLIENT LOGIN=x\r\nEHLO b.test\r\nMAIL FROM:<> SIZE=1\r\nRCPT TO:<\"a b\"@c.test>\r\nDATA\r\n.\r\nRSET\r\n",
		"HELO a.test\r\nBDAT 3 LAST\r\nabcVRFY x\r\nHELP\r\nAUTH PLAIN =\r\nSTARTTLS\r\n\nQUIT\r\n",
		"EHLO a.test\r\nMAIL FROM:<a@n.test>\r\nRCPT TO:<nobody@x.test>\r\nDATA\r\nGET / HTTP/1.1\r\n",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, in string, check bool) {
		if len(in) > 4<<10 {
			return
		}
		d := unchecked
		if check {
			d = checked
		}
		converse(t, d.addr, in)
		for _, m := range hop.take() {
			rest, ours := cutOurs(m)
			fits := func(message string) bool { return message == m || ours && proxy.Rewritten(t, message) == rest }
			if !sent(in, fits) {
				t.Errorf("the next hop got %q, which is not in %q", m, in)
			}
		}
		if n := testutil.ToFloat64(d.engine.Metrics.Panics); n != 0 {
			t.Fatalf("panics: %v\n%s", n, d.log)
		}
	})
}
