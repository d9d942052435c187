package faults

import (
	"net"
	"sync"
	"testing"
	"time"
)

// half is what a client of each listener sends before it stops.
var half = map[string][]string{
	"milter": {"", "\x00\x00\x00\x0dO\x00\x00\x00\x06", "\x00\x0f\xff\xffB"},
	"policy": {"", "request=smtpd_access_policy\nsender="},
	"smtp":   {"", "EHLO mx.test\r\nMAIL", "EHLO mx.test\r\nNOOP\r\nNOOP\r\n"},
	"http":   {"", "POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-"},
}

// TestSlow: thousands of clients that send half of something, or nothing, occupy every
// listener. No more than the configured number is served at a time, honest mail gets through
// all the while, and memory and descriptors return to normal.
func TestSlow(t *testing.T) {
	longOnly(t)
	const conns = 200
	d := start(t, "[limits]\nconnections = 200\n")
	l := newLoad(d, 2000)
	everyDoor := func(what string) (slowest time.Duration) {
		var work sync.WaitGroup
		took := make(chan time.Duration, 4)
		for door, once := range map[string]func() error{"smtp": l.smtp, "milter": l.milter, "policy": l.policy, "http": l.http} {
			work.Go(func() {
				began := time.Now()
				goal := l.done[door].Load() + 1
				for l.done[door].Load() < goal && time.Since(began) < patience {
					if err := once(); err != nil {
						l.failed(door, err)
					}
				}
				if l.done[door].Load() < goal {
					t.Errorf("%s: no honest mail through %s within %v", what, door, patience)
				}
				took <- time.Since(began)
				t.Logf("%s: %s after %v", what, door, time.Since(began).Round(time.Millisecond))
			})
		}
		work.Wait()
		close(took)
		for d := range took {
			slowest = max(slowest, d)
		}
		return slowest
	}
	everyDoor("before")
	files, tasks := d.files(), d.tasks()
	memory, _ := d.memory()
	clients := 0
	var held []net.Conn
	for round := range 750 {
		for door, says := range half {
			c, err := net.DialTimeout("tcp", d.addr(door), time.Second)
			if err != nil {
				continue // its queue is full: no client gets in faster
			}
			c.Write([]byte(says[round%len(says)]))
			held = append(held, c)
			clients++
		}
	}
	open := d.files()
	if most := files + 5*(conns+2); open > most { // smtp has two a connection
		t.Errorf("%d descriptors are open, want %d at most", open, most)
	}
	slowest := everyDoor("beside them")
	peak, _ := d.memory()
	for _, c := range held {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	until(t, "descriptors and goroutines come back", func() bool { return d.files() <= files+2 && d.tasks() <= tasks+4 })
	everyDoor("after")
	l.check()
	after, _ := d.memory()
	d.alive()
	t.Logf("%d clients that do nothing, %d connections a door: %d descriptors open; honest mail through every door within %v; %v ended for it; resident %d KiB before, %d beside them, %d after",
		clients, conns, open, slowest.Round(time.Millisecond), d.metric("postseal_shed_total", `reason="full"`), memory, peak, after)
	d.stop()
}
