package listener

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestEvictIdle: when the listener is full, connections without a message end for those that wait.
func TestEvictIdle(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	s := &Server{Name: Milter, Engine: e, Handle: echo, MaxConns: 2, IdleTimeout: time.Millisecond}
	l, _ := serve(t, s)
	busy, idle := dial(t, l), dial(t, l)
	if err := say(t, busy, "B"); err != nil {
		t.Fatal(err)
	}
	if err := say(t, idle, "x"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := say(t, dial(t, l), "x"); err != nil {
			t.Fatalf("one that waits: %v", err)
		}
	}
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that does nothing: %v, want EOF", err)
	}
	if got := testutil.ToFloat64(e.Metrics.Shed.WithLabelValues(Milter, "full")); got < 3 {
		t.Errorf("%v were counted, want 3", got)
	}
	s.Close()
	if got := strings.Count(log.String(), "connection limit reached"); got != 1 {
		t.Errorf("%d lines, want 1:\n%s", got, &log)
	}
}

// TestUseless: what a connection did is what counts.
func TestUseless(t *testing.T) {
	s := &Server{IdleTimeout: 10 * time.Second}
	now := time.Now()
	for _, c := range []struct {
		name   string
		busy   bool
		age    time.Duration
		octets int64
		want   bool
	}{
		{"new", false, time.Second, 0, false},
		{"silent", false, 10 * time.Second, 0, true},
		{"talks, and begins no message", false, 10 * time.Second, 1 << 20, true},
		{"a message that has just begun", true, 59 * time.Second, 0, false},
		{"a message that does not come", true, 60 * time.Second, 29999, true},
		{"a slow message", true, 60 * time.Second, 30000, false},
	} {
		conn := &Conn{server: s, busy: c.busy, since: now.Add(-c.age)}
		conn.octets.Store(c.octets)
		if got := conn.idleTooLong(now); got != c.want {
			t.Errorf("%s: idleTooLong %v, want %v", c.name, got, c.want)
		}
	}
}

// TestCutOff: a handler that sets another deadline does not take the end away.
func TestCutOff(t *testing.T) {
	s := &Server{Name: Milter, Engine: engine(t, io.Discard), Handle: echo}
	l := listen(t)
	client := dial(t, l)
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c := &Conn{Conn: accepted, server: s}
	c.cutOff()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want a timeout", err)
	}
	c.Write([]byte("x"))
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Errorf("an answer does not go out: %v", err)
	}
}
