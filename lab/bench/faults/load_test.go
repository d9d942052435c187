package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal/lab/bench/traffic"
)

// hop is the next hop of the proxy. It remembers the subjects of what it took.
type hop struct {
	addr  string
	mu    sync.Mutex
	taken map[string]int
}

func newHop(t *testing.T) *hop {
	h := &hop{taken: map[string]int{}}
	addr, end, err := traffic.NextHop(h.take)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end() })
	h.addr = addr
	return h
}

func (h *hop) take(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, subject, _ := strings.Cut(string(text[:min(len(text), 64<<10)]), "Subject: ")
	subject, _, _ = strings.Cut(subject, "\r\n")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken[subject]++
	return nil
}

func (h *hop) count(subject string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[subject]
}

func message(from, subject string, size int) string {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78+1)
	return "From: a@" + from + "\r\nTo: b@here.test\r\nSubject: " + subject + "\r\n\r\n" + body
}

// load is mail through every listener; every second message is a forgery.
type load struct {
	d        *daemon
	size     int
	next     atomic.Int64
	done     map[string]*atomic.Int64 // by door: honest mail that was taken
	deferred atomic.Int64             // 4xx of any listener
	broken   atomic.Int64             // connections that failed
	wrong    chan string              // what must not be

	mu    sync.Mutex
	taken []string // subjects that the proxy answered 250 for

	stop chan struct{}
	work sync.WaitGroup
}

var doors = []string{"milter", "policy", "smtp", "http"}

// begin connects N clients to each listener.
func begin(d *daemon, clients, size int) *load {
	l := newLoad(d, size)
	for range clients {
		for door, once := range map[string]func() error{"milter": l.milter, "policy": l.policy, "smtp": l.smtp, "http": l.http} {
			l.work.Go(func() {
				for {
					select {
					case <-l.stop:
						return
					default:
					}
					if err := once(); err != nil {
						l.failed(door, err)
					}
				}
			})
		}
	}
	return l
}

// once sends two messages through the proxy, the milter and the policy service.
func (l *load) once() {
	for door, send := range map[string]func() error{"smtp": l.smtp, "milter": l.milter, "policy": l.policy} {
		if err := send(); err != nil {
			l.failed(door, err)
		}
	}
}

func newLoad(d *daemon, size int) *load {
	l := &load{d: d, size: size, stop: make(chan struct{}), wrong: make(chan string, 100), done: map[string]*atomic.Int64{}}
	for _, door := range doors {
		l.done[door] = new(atomic.Int64)
	}
	return l
}

func (l *load) failed(_ string, err error) {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code/100 == 4 {
		l.deferred.Add(1)
		return
	}
	l.broken.Add(1)
	time.Sleep(time.Millisecond) // no listener: no reason to retry without a pause
}

func (l *load) say(format string, args ...any) {
	select {
	case l.wrong <- fmt.Sprintf(format, args...):
	default:
	}
}

// end stops the load and fails the test for what must not be.
func (l *load) end() {
	t := l.d.t
	t.Helper()
	close(l.stop)
	l.work.Wait()
	l.check()
}

func (l *load) check() {
	t := l.d.t
	t.Helper()
	for len(l.wrong) > 0 {
		t.Error(<-l.wrong)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, subject := range l.taken {
		if l.d.hop.count(subject) == 0 {
			t.Errorf("%s was answered with 250 and is not at the next hop", subject)
		}
	}
	l.d.hop.mu.Lock()
	defer l.d.hop.mu.Unlock()
	for subject := range l.d.hop.taken {
		if !strings.HasPrefix(subject, "good") {
			t.Errorf("the next hop has %q", subject)
		}
	}
}

// each waits until N more honest messages have passed every listener.
func (l *load) each(more int64) {
	l.d.t.Helper()
	for _, door := range doors {
		goal := l.done[door].Load() + more
		until(l.d.t, "mail through "+door, func() bool { return l.done[door].Load() >= goal })
	}
}

func (l *load) dial(door string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", l.d.addr(door), patience)
	if err == nil {
		c.(*net.TCPConn).SetLinger(0) // no port waits for a minute
		c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func (l *load) smtp() error {
	for _, from := range []string{"good.test", "bad.test"} {
		subject := fmt.Sprintf("%s-%d", strings.TrimSuffix(from, ".test"), l.next.Add(1))
		err := l.send(from, subject)
		switch {
		case err == nil && from == "bad.test":
			l.say("a forgery was answered with 250")
		case err == nil:
			l.mu.Lock()
			l.taken = append(l.taken, subject)
			l.mu.Unlock()
			l.done["smtp"].Add(1)
		case from == "good.test" || !strings.HasPrefix(err.Error(), "550"):
			return err
		}
	}
	return nil
}

func (l *load) send(from, subject string) error {
	conn, err := l.dial("smtp")
	if err != nil {
		return err
	}
	defer conn.Close()
	return l.converse(conn, from, subject, l.size, func() {})
}

// converse sends a message over a connection. before is called before its end is sent.
func (l *load) converse(conn net.Conn, from, subject string, size int, before func()) error {
	c, err := smtp.NewClient(conn, "mx.test")
	if err != nil {
		return err
	}
	if err := c.Mail("a@" + from); err != nil {
		return err
	}
	if err := c.Rcpt("b@here.test"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, message(from, subject, size)); err != nil {
		return err
	}
	before()
	if err := w.Close(); err != nil {
		return err
	}
	c.Quit()
	return nil
}

func (l *load) milter() error {
	conn, err := l.dial("milter")
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := traffic.Milter(conn)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, from := range []string{"good.test", "bad.test"} {
		action, err := traffic.Send(m, from, l.size)
		if err != nil {
			return err
		}
		accepted := traffic.Accepted(action)
		switch {
		case accepted && from == "bad.test":
			l.say("the milter let a forgery in")
		case accepted:
			l.done["milter"].Add(1)
		case action.SMTPCode/100 == 4 || action.Type == milter.ActionTempFail:
			l.deferred.Add(1)
		case from == "good.test":
			l.say("the milter refused honest mail: %+v", action)
		}
	}
	return nil
}

func (l *load) policy() error {
	c, err := l.dial("policy")
	if err != nil {
		return err
	}
	defer c.Close()
	for _, from := range []string{"good.test", "bad.test"} {
		fmt.Fprintf(c, "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.1\nhelo_name=h.test\nsender=a@%s\nrecipient=b@here.test\ninstance=%d\n\n", from, l.next.Add(1))
		buf := make([]byte, 2048)
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		got := string(buf[:n])
		switch refused := strings.HasPrefix(got, "action=550 "); {
		case strings.HasPrefix(got, "action=DEFER"):
			l.deferred.Add(1)
		case refused != (from == "bad.test"):
			l.say("policy of %s: %q", from, got)
		case !refused:
			l.done["policy"].Add(1)
		}
	}
	c.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, c) // the listener has seen the end cleanly
	return nil
}

func (l *load) http() error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, from := range []string{"good.test", "bad.test"} {
		r, err := client.Post("http://"+l.d.addr("http")+"/v1/verify?ip=192.0.2.1&helo=h.test&from=a@"+from, "message/rfc822", strings.NewReader(message(from, "x", l.size)))
		if err != nil {
			return err
		}
		var report struct{ Decision struct{ Applied string } }
		err = json.NewDecoder(r.Body).Decode(&report)
		r.Body.Close()
		switch applied := report.Decision.Applied; {
		case r.StatusCode == http.StatusServiceUnavailable, applied == "defer":
			l.deferred.Add(1)
		case err != nil:
			return err
		case (applied == "accept") != (from == "good.test"):
			l.say("http, %s: status %d, applied %q", from, r.StatusCode, applied)
		case applied == "accept":
			l.done["http"].Add(1)
		}
	}
	return nil
}
