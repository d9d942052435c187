package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/server/proxy"
)

// modelHop is a next hop that answers each command as its dice say, and keeps the state of an
// SMTP server (RFC 5321 §4.1.4): whether a transaction is open, and which messages it took.
type modelHop struct {
	mu     sync.Mutex
	dice   *rand.Rand
	open   bool            // MAIL was accepted, and nothing has ended the transaction
	rcpt   int             // recipients that were accepted
	taken  map[string]bool // by the Subject
	faults []string
}

// The classes of what a next hop says.
const (
	good = iota
	deferred
	refused
	closing
	vanished
	extra
	odd
)

// class is good most of the time.
func (h *modelHop) class() int {
	if h.dice.IntN(5) > 0 {
		return good
	}
	return []int{deferred, refused, refused, deferred, closing, vanished, extra, odd}[h.dice.IntN(8)]
}

func (h *modelHop) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.open, h.rcpt = false, 0
		h.mu.Unlock()
		h.session(c)
		c.Close()
		h.mu.Lock()
		h.open, h.rcpt = false, 0
		h.mu.Unlock()
	}
}

var errVanished = errors.New("vanished")

// reply answers with the class that the dice say, good with text, and returns the code.
func (h *modelHop) reply(c net.Conn, text string, may func(class int) bool) (code string, err error) {
	class := h.class()
	if !may(class) {
		class = good
	}
	switch class {
	case deferred:
		text = "451 4.3.0 later"
	case refused:
		text = "550 5.7.1 no"
	case closing:
		fmt.Fprint(c, "421 4.3.2 going\r\n")
		return "421", errVanished
	case vanished:
		return "", errVanished
	case extra:
		text += "\r\n250 2.0.0 nobody asked"
	case odd:
		text = []string{"hello", "999 x", "33 x", "354 go on"}[h.dice.IntN(4)]
		if strings.HasPrefix(text, "354") {
			text = "299 odd but fine"
		}
	}
	_, err = io.WriteString(c, text+"\r\n")
	return text[:min(3, len(text))], err
}

func any(int) bool { return true }

func (h *modelHop) session(c net.Conn) {
	r := bufio.NewReader(c)
	io.WriteString(c, "220 hop.test ESMTP\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		h.mu.Lock()
		err = h.command(c, r, strings.ToUpper(strings.TrimRight(line, "\r\n")))
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *modelHop) command(c net.Conn, r *bufio.Reader, line string) error {
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		h.open, h.rcpt = false, 0
		_, err := io.WriteString(c, "250 hop.test\r\n")
		return err
	case "MAIL":
		if h.open {
			h.faults = append(h.faults, "MAIL within a transaction")
			_, err := io.WriteString(c, "503 5.5.1 nested MAIL\r\n")
			return err
		}
		code, err := h.reply(c, "250 2.1.0 ok", any)
		h.open, h.rcpt = strings.HasPrefix(code, "2"), 0
		return err
	case "RCPT":
		code, err := h.reply(c, "250 2.1.5 ok", any)
		if strings.HasPrefix(code, "2") {
			h.rcpt++
		}
		return err
	case "DATA":
		if !h.open || h.rcpt == 0 {
			h.faults = append(h.faults, "DATA without a transaction")
		}
		code, err := h.reply(c, "354 go on", any)
		if err != nil || code != "354" {
			return err
		}
		return h.data(c, r)
	case "RSET":
		h.open, h.rcpt = false, 0
	case "QUIT":
		io.WriteString(c, "221 bye\r\n")
		return io.EOF
	}
	_, err := io.WriteString(c, "250 2.0.0 ok\r\n")
	return err
}

func (h *modelHop) data(c net.Conn, r *bufio.Reader) error {
	subject := ""
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return err
		case line == ".\r\n":
			code, err := h.reply(c, "250 2.0.0 queued as 1", any)
			h.open, h.rcpt = false, 0
			if strings.HasPrefix(code, "2") {
				h.taken[subject] = true
			}
			return err
		case strings.HasPrefix(line, "Subject: "):
			subject = strings.TrimSpace(line[len("Subject: "):])
		}
	}
}

// modelClient is a client of the proxy, with what it knows of the transaction.
type modelClient struct {
	t      testing.TB
	dice   *rand.Rand
	conn   net.Conn
	r      *bufio.Reader
	open   bool
	rcpt   int
	number int
}

// say sends a line and returns the code of the reply, "" when the session has ended.
func (c *modelClient) say(line string) string {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return ""
	}
	return c.read()
}

func (c *modelClient) read() string {
	for {
		line, err := c.r.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatal("the proxy does not answer")
		}
		if err != nil || len(line) < 4 {
			return ""
		}
		if line[3] == ' ' {
			return line[:3]
		}
	}
}

// step does one thing at random. It returns the Subject of a message that it sent with the
// reply to it, and whether the session continues.
func (c *modelClient) step() (subject, code string, alive bool) {
	switch c.dice.IntN(8) {
	case 0, 1:
		if code = c.say("MAIL FROM:<a@accept.test>"); strings.HasPrefix(code, "2") && !c.open {
			c.open, c.rcpt = true, 0
		}
	case 2, 3:
		if code = c.say("RCPT TO:<b@here.test>"); strings.HasPrefix(code, "2") {
			c.rcpt++
		}
	case 4, 5:
		return c.message()
	case 6:
		code = c.say([]string{"NOOP", "VRFY x", "EXPN x", "HELP", "BAD"}[c.dice.IntN(5)])
	case 7:
		verb := []string{"RSET", "EHLO client.test"}[c.dice.IntN(2)]
		if code = c.say(verb); strings.HasPrefix(code, "2") {
			c.open, c.rcpt = false, 0
		}
	}
	return "", code, code != "" && code != "421"
}

func (c *modelClient) message() (subject, code string, alive bool) {
	code = c.say("DATA")
	if code != "354" {
		return "", code, code != "" && code != "421"
	}
	c.number++
	subject = fmt.Sprint("m", c.number)
	body := strings.Repeat("x\r\n", c.dice.IntN(40))
	code = c.say("From: a@" + []string{"accept.test", "reject.test"}[c.dice.IntN(2)] + "\r\nSubject: " + subject + "\r\n\r\n" + body + ".")
	c.open, c.rcpt = false, 0
	return subject, code, code != "" && code != "421"
}

const modelZone = `
accept.test. 60 TXT "v=spf1 +all"
reject.test. 60 TXT "v=spf1 -all"
_dmarc.reject.test. 60 TXT "v=DMARC1; p=reject"
`

// TestModel: whatever the next hop answers at each step, and whatever a client does, both
// agree with the proxy on the transaction, and on who has each message: a client that is told
// yes has handed its message over, and one that is told no for good has not.
func TestModel(t *testing.T) {
	l := listen(t)
	hop := &modelHop{dice: rand.New(rand.NewPCG(1, 2)), taken: map[string]bool{}}
	go hop.serve(l)
	d := start(t, setup{zone: modelZone, enforce: "strict", config: proxy.Config{NextHop: proxy.NextHop{Address: l.Addr().String()}, ClientInfo: proxy.ClientInfoNone}})
	sessions := 300
	if testing.Short() {
		sessions = 50
	}
	for seed := range sessions {
		hop.mu.Lock()
		hop.dice = rand.New(rand.NewPCG(uint64(seed), 7))
		clear(hop.taken)
		hop.mu.Unlock()
		modelSession(t, d, hop, uint64(seed))
	}
}

func modelSession(t *testing.T, d *daemon, hop *modelHop, seed uint64) {
	c := &modelClient{t: t, dice: rand.New(rand.NewPCG(seed, 99)), conn: dial(t, d.addr)}
	defer c.conn.Close()
	c.conn.SetDeadline(time.Now().Add(timeout))
	c.r = bufio.NewReader(c.conn)
	if c.read() != "220" || c.say("EHLO client.test") != "250" {
		t.Fatalf("seed %d: no greeting", seed)
	}
	for range 40 {
		subject, code, alive := c.step()
		hop.mu.Lock()
		open, taken, faults := hop.open, hop.taken[subject], hop.faults
		hop.faults = nil
		hop.mu.Unlock()
		for _, fault := range faults {
			t.Errorf("seed %d: the next hop got %s", seed, fault)
		}
		switch {
		case subject == "":
		case strings.HasPrefix(code, "2") && !taken:
			t.Errorf("seed %d: the client is told %s, and the next hop has not taken %s", seed, code, subject)
		case strings.HasPrefix(code, "5") && taken:
			t.Errorf("seed %d: the client is told %s, and the next hop has taken %s", seed, code, subject)
		}
		if !alive {
			return
		}
		for end := time.Now().Add(timeout); open != c.open && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // the proxy may have hung up, which the next hop sees soon
			hop.mu.Lock()
			open = hop.open
			hop.mu.Unlock()
		}
		if open != c.open {
			t.Fatalf("seed %d: a transaction is open: next hop %t, client %t, after %s", seed, open, c.open, code)
		}
	}
}
