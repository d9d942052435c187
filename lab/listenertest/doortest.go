// Package listenertest is what the tests of several listeners need: an engine, and a log to read.
package listenertest

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/resolver"
	"postseal/server/listener"
)

// Engine makes one of a configuration, to which the authserv-id mx.test is added. It ends with
// the test.
func Engine(t testing.TB, dns resolver.Resolver, config string, log io.Writer) *listener.Engine {
	t.Helper()
	c, _, err := conf.Parse("test", []byte("authserv_id = 'mx.test'\n"+config), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := c.Engine()
	engine.Resolver = dns
	s, err := listener.NewSnapshot(c, engine)
	if err != nil {
		t.Fatal(err)
	}
	e := listener.NewEngine(s, listener.NewLogger(log, listener.LogJournal, nil), listener.NewMetrics("test"))
	t.Cleanup(e.Close)
	return e
}

// Log is a log that a test may read while listeners write it.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is the log so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
