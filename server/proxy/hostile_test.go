package proxy_test

import (
	"bufio"
	"bytes"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal"
	"postseal/server/proxy"
)

// liar is a next hop that answers its greeting and each command with the next piece of a
// script, and hangs up at its end.
type liar struct {
	addr   string
	mu     sync.Mutex
	idle   *sync.Cond // talks is 0
	talks  int        // that are going on
	script [][]byte
	heard  bytes.Buffer
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	l := listen(t)
	h := &liar{addr: l.Addr().String()}
	h.idle = sync.NewCond(&h.mu)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.count(1)
			go h.serve(conn)
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	return h
}

func (h *liar) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.talks += n
	h.idle.Broadcast()
}

// wait returns when no talk is going on.
func (h *liar) wait() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.talks > 0 {
		h.idle.Wait()
	}
}

func (h *liar) serve(conn net.Conn) {
	defer h.count(-1)
	defer conn.Close()
	r, data := bufio.NewReader(conn), false
	for {
		piece, ok := h.next()
		if _, err := conn.Write(piece); err != nil || !ok || !whole(piece) {
			return
		}
		data = bytes.HasPrefix(piece, []byte("354"))
		for line := ""; line == "" || data && line != ".\r\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
			h.hear(line)
		}
	}
}

func (h *liar) next() (piece []byte, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.script) == 0 {
		return nil, false
	}
	piece, h.script = h.script[0], h.script[1:]
	return piece, true
}

func (h *liar) hear(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard.WriteString(line)
}

// play begins a script, whose pieces end at each NUL.
func (h *liar) play(script []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = bytes.Split(script, []byte{0})
	h.heard.Reset()
}

var lastLine = regexp.MustCompile(`(^|\n)[0-9]{3}( [^\n]*)?\n$`)

// whole reports whether a piece ends a reply, so that no one waits for the rest of it.
func whole(piece []byte) bool {
	return lastLine.Match(bytes.ReplaceAll(piece, []byte("\r"), nil))
}

var replyLine = regexp.MustCompile(`^[2-5][0-9][0-9][ -][ -~]*$`)

// FuzzHop: whatever the next hop answers, the client hears replies of SMTP and hears that its
// message was taken only when the whole of it was handed over.
func FuzzHop(f *testing.F) {
	for _, s := range []string{
		"220 x\r\n|250 x\r\n|250 ok\r\n|250 ok\r\n|354 go\r\n|250 queued\r\n|221 bye\r\n",
		"220 x\r\n|250-x\r\n250-XCLIENT ADDR\r\n250 SIZE 1\r\n|250 ok\r\n|550-no\r\n550 5.1.1 \xff\x1b[31m no\r\n|503 x\r\n",
		"220 x\r\n|250 x\r\n|250 ok\r\n|250 ok\r\n|354 go\r\n|451 \r\n|",
		"220 x\r\n250 x\r\n|250 ok\r\n250 ok\r\n|354 go\r\n250 too early\r\n|221\r\n", "554 go away\r\n", "220 x\r\n|250 x\r\n|250 ok\r\n|250 ok\r\n|250 what\r\n", "|", "HTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add([]byte(strings.ReplaceAll(s, "|", "\x00")))
	}
	hop := newLiar(f)
	d := start(f, setup{enforce: postseal.Observe, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.addr}}})
	const session = "EHLO a.test\r\nMAIL FROM:<a@n.test>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nFrom: a@n.test\r\n\r\nx\r\n.\r\nQUIT\r\n"
	f.Fuzz(func(t *testing.T, script []byte) {
		hop.play(script)
		got := converse(t, d.addr, session)
		taken, begun := false, false
		for line := range strings.SplitSeq(strings.TrimSuffix(got, "\r\n"), "\r\n") {
			if got != "" && !replyLine.MatchString(line) {
				t.Fatalf("%q is no reply in %q", line, got)
			}
			taken = taken || begun && line[0] == '2' && !strings.HasPrefix(line, "221")
			begun = begun || strings.HasPrefix(line, "354")
		}
		hop.wait() // the listener has hung up
		if taken && !strings.HasSuffix(hop.heard.String(), ".\r\n") && !strings.Contains(hop.heard.String(), "\r\nx\r\n.\r\n") {
			t.Fatalf("the message was taken, and the next hop heard %q:\n%s", hop.heard.String(), got)
		}
		if n := testutil.ToFloat64(d.engine.Metrics.Panics); n != 0 {
			t.Fatalf("panics: %v\n%s", n, d.log)
		}
	})
}
