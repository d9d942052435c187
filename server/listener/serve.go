package listener

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The defaults of Server.
const (
	DefaultMaxConns    = 1000
	DefaultGrace       = 5 * time.Second
	DefaultIdleTimeout = 10 * time.Second
)

// ErrClosed is what Serve returns after Shutdown or Close.
var ErrClosed = errors.New("door: closed")

// Server serves connections: at most MaxConns at once, each in its own goroutine, where a panic
// ends only that connection. It is a Service.
type Server struct {
	Name     string // Milter, Policy or SMTP
	Engine   *Engine
	Handle   func(context.Context, *Conn) // the connection is closed after it returns
	MaxConns int                          // concurrent connections, more wait; 0 is DefaultMaxConns
	Grace    time.Duration                // time that Shutdown gives to connections without a message; 0 is DefaultGrace
	// IdleTimeout is for idle connections while others wait; 0 is DefaultIdleTimeout.
	IdleTimeout time.Duration

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}
	next   chan *Conn // to a worker without a connection
	work   sync.WaitGroup

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	closing   bool          // no new connections
	stopped   chan struct{} // closed with closing
	late      bool          // the grace period has ended: connections without a message are closed

	full, starved rate.Sometimes // what was already logged
}

func (s *Server) init() {
	s.once.Do(func() {
		if s.MaxConns <= 0 {
			s.MaxConns = DefaultMaxConns
		}
		if s.Grace == 0 {
			s.Grace = DefaultGrace
		}
		if s.IdleTimeout == 0 {
			s.IdleTimeout = DefaultIdleTimeout
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.full.Interval, s.starved.Interval = sameLog, sameLog
		s.slots, s.next, s.stopped = make(chan struct{}, s.MaxConns), make(chan *Conn), make(chan struct{})
		s.listeners, s.conns = map[net.Listener]struct{}{}, map[*Conn]struct{}{}
	})
}

// Conn is a connection of a Server.
type Conn struct {
	net.Conn
	server *Server
	busy   bool      // guarded by server.mu
	since  time.Time // when busy last changed; guarded by server.mu
	octets atomic.Int64
	acks   acks

	deadline sync.Mutex
	cut      bool // evicted: nothing more is read; guarded by deadline
}

// Begin marks the start of a message, so that Shutdown waits for it.
func (c *Conn) Begin() { c.setBusy(true) }

// End marks its end.
func (c *Conn) End() { c.setBusy(false) }

func (c *Conn) setBusy(busy bool) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.busy != busy {
		c.busy, c.since = busy, time.Now()
		c.octets.Store(0)
	}
	if !busy && c.server.late {
		c.Close()
	}
}

// Closing reports whether the server is shutting down: a connection that is between two clients
// may end.
func (c *Conn) Closing() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.server.closing
}

// Serve accepts connections of l until Shutdown or Close, then returns ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	if !s.addListener(l) {
		l.Close()
		return ErrClosed
	}
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = 0
			if !s.acquireSlot() {
				conn.Close()
				return ErrClosed
			}
			s.Engine.Metrics.Listeners[s.Name].connected()
			s.begin(conn)
			continue
		}
		if s.isClosing() || errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		// Usually out of file descriptors: they become free as connections end.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.Engine.Metrics.Shed.WithLabelValues(s.Name, "descriptors").Inc()
		s.starved.Do(func() {
			s.Engine.Log.Warn("cannot accept a connection", "door", s.Name, "error", Text(err), "pause", pause)
		})
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.listeners[l] = struct{}{}
	}
	return !s.closing
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// begin passes a connection to a worker. The slot is released when it ends.
func (s *Server) begin(conn net.Conn) {
	c := &Conn{Conn: conn, server: s, since: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		conn.Close()
		<-s.slots
		return
	}
	s.conns[c] = struct{}{}
	select {
	case s.next <- c:
	default:
		s.work.Go(func() { s.serveMany(c) })
	}
}

// workerIdle is how long a worker waits for another connection.
const workerIdle = 5 * time.Second

// serveMany handles one connection after another. A new goroutine for each would grow its stack
// by copying every time: 5 % of the CPU time of a small message.
func (s *Server) serveMany(c *Conn) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		s.serve(c)
		idle.Reset(workerIdle)
		select {
		case c = <-s.next:
		case <-idle.C:
			return
		case <-s.stopped:
			return
		}
	}
}

func (s *Server) serve(c *Conn) {
	open := s.Engine.Metrics.Listeners[s.Name].Connections
	open.Inc()
	defer func() {
		c.Conn.Close()
		open.Dec()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		<-s.slots
	}()
	defer s.Engine.Recover(s.Name, nil)
	s.Handle(s.ctx, c)
}

// Shutdown accepts no new connections, lets messages in flight finish, and closes connections
// without a message after the grace period. If ctx ends first, it closes the rest and says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.init()
	s.stop()
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	grace := time.NewTimer(s.Grace)
	defer grace.Stop()
	for {
		select {
		case <-done:
			return s.Close()
		case <-grace.C:
			s.closeIdle()
		case <-ctx.Done():
			s.Close()
			return ctx.Err()
		}
	}
}

// Close closes everything and waits for the handlers to return.
func (s *Server) Close() error {
	s.init()
	s.stop()
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing = true
		close(s.stopped)
	}
	for l := range s.listeners {
		l.Close()
	}
}

func (s *Server) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = true
	for c := range s.conns {
		if !c.busy {
			c.Close()
		}
	}
}
