package stub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"postseal/resolver"
)

const (
	maxIdle    = 512              // unused sockets kept per server
	maxUses    = 64               // questions of one socket: ports must not become old (RFC 5452 §9.2)
	maxAge     = 30 * time.Second // of an unused socket
	maxForeign = 64               // datagrams that are not the answer before TCP is used instead
	udpBuffer  = 4096
	// Answers larger than a datagram that are read at the same time: however many questions are
	// outstanding, they take so many times 64 KiB before they count for a message.
	maxStreams = 16
)

// errStream tells that the question must be asked over TCP.
var errStream = errors.New("answer needs TCP")

// udpConn is a connected UDP socket on a random port. One question uses it at a time.
type udpConn struct {
	*net.UDPConn
	uses  int
	last  time.Time // when its last question began
	place int       // in pool.busy
	buf   [udpBuffer]byte
}

// pool keeps sockets between questions, and knows those in use, so that Close can end their reads: a
// callback of the client's context for each query took 6 % of the CPU time of a bulk audit.
type pool struct {
	mu     sync.Mutex
	idle   []*udpConn
	busy   []*udpConn
	closed bool
}

// take returns a socket for a question that begins now, to be given back with put or drop.
func (p *pool) take(s *server, now time.Time) (*udpConn, error) {
	oldest := now.Add(-maxAge)
	for {
		c := p.next()
		if c == nil {
			break
		}
		if c.last.After(oldest) {
			c.last = now
			return c, nil
		}
		p.drop(c)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.addr))
	if err != nil {
		return nil, err
	}
	c := &udpConn{UDPConn: conn, last: now}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.use(c)
	return c, nil
}

// next moves the socket that was used last from idle to busy; nil if there is none.
func (p *pool) next() *udpConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	p.use(c)
	return c
}

// use adds c to busy. The lock is held.
func (p *pool) use(c *udpConn) {
	c.place = len(p.busy)
	p.busy = append(p.busy, c)
}

// leave removes c from busy. The lock is held.
func (p *pool) leave(c *udpConn) {
	n := len(p.busy) - 1
	moved := p.busy[n]
	p.busy[c.place], moved.place = moved, c.place
	p.busy[n] = nil
	p.busy = p.busy[:n]
}

func (p *pool) put(c *udpConn) {
	c.uses++
	p.mu.Lock()
	p.leave(c)
	keep := c.uses < maxUses && len(p.idle) < maxIdle && !p.closed
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// drop closes a socket that take returned.
func (p *pool) drop(c *udpConn) {
	p.mu.Lock()
	p.leave(c)
	p.mu.Unlock()
	c.Close()
}

// interrupt ends the reads and writes of the sockets in use.
func (p *pool) interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.busy {
		c.SetDeadline(past)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// try asks one server, within the timeout of a try. A server that did not answer is asked
// without EDNS the next time: there are firewalls that drop it (RFC 6891 §6.2.2).
func (c *Client) try(ctx context.Context, s *turn, q question, a *resolver.Answer) *failure {
	deadline, hurried := s.began.Add(c.timeout), false
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline, hurried = d, true
	}
	edns := len(s.talk.sent) == 0
	fail := c.ask(ctx, s, q, deadline, edns, a)
	if fail == errNoEDNS && edns {
		if fail = c.ask(ctx, s, q, deadline, false, a); fail == errNoEDNS {
			fail = s.malformed(errors.New("the server refuses the form of the question"))
		}
	}
	switch {
	case fail == nil || fail.spoke() || fail.final():
		s.answered()
	case ctx.Err() == nil && c.closing.Err() == nil && !hurried:
		s.silent()
	}
	return fail
}

// ask sends the question over UDP and, when the answer is truncated or doubtful, over TCP
// (RFC 7766 §5).
func (c *Client) ask(ctx context.Context, s *turn, q question, deadline time.Time, edns bool, a *resolver.Answer) *failure {
	m := q.pack(edns, c.use0x20)
	fail, err := c.overUDP(ctx, s, q, m, deadline, a)
	if err == errStream {
		fail, err = c.overTCP(ctx, s.server, q, m, deadline, a)
	}
	if err != nil {
		return netFailure(s.server, err)
	}
	return fail
}

func netFailure(s *server, err error) *failure {
	kind := resolver.Network
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		kind, err = resolver.Timeout, nil
	}
	return &failure{kind: kind, err: atServer(s, err)}
}

func atServer(s *server, err error) error {
	if err == nil {
		return fmt.Errorf("name server %s", s.addr)
	}
	return fmt.Errorf("name server %s: %w", s.addr, err)
}

// past is a deadline that ends reads and writes at once.
var past = time.Unix(1, 0)

// overUDP sends m and waits for an answer to it, or to what was sent to s before.
func (c *Client) overUDP(ctx context.Context, s *turn, q question, m query, deadline time.Time, a *resolver.Answer) (fail *failure, err error) {
	t := &s.talk
	if t.conn == nil {
		if t.conn, err = s.pool.take(s.server, s.began); err != nil {
			t.conn = nil
			return nil, err
		}
	}
	conn := t.conn
	conn.SetDeadline(deadline)
	// The end of ctx, and Close, set a deadline that ends the read. Close does so after closing has
	// ended, so either it is seen here or its deadline comes after ours.
	if c.closing.Err() != nil {
		return nil, net.ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	answered, waits := false, false
	defer func() {
		switch quiet := stop() && c.closing.Err() == nil; {
		case quiet && answered && len(t.sent) == 1:
			// A socket that may still get a late answer, or a deadline, is not used again.
			s.pool.put(conn)
			t.conn, t.sent = nil, nil
		case !quiet || !waits:
			s.hangUp()
		}
	}()
	t.sent = append(t.sent, m)
	if _, err := conn.Write(m.data); err != nil {
		return nil, err
	}
	for range maxForeign {
		n, err := conn.Read(conn.buf[:])
		if err != nil {
			waits = errors.Is(err, os.ErrDeadlineExceeded)
			return nil, err
		}
		switch t.match(conn.buf[:n]) {
		case foreign:
			continue
		case doubtful:
			return nil, errStream
		}
		answered = true
		if truncated(conn.buf[:n]) || n == len(conn.buf) {
			return nil, errStream
		}
		return s.read(q, conn.buf[:n], a), nil
	}
	return nil, errStream
}

// match compares a message with everything that was sent.
func (t *talk) match(m []byte) match {
	best := foreign
	for _, q := range t.sent {
		best = max(best, q.match(m))
	}
	return best
}

// overTCP asks over its own connection. What is read of a large answer waits for its turn in
// c.streams.
func (c *Client) overTCP(ctx context.Context, s *server, q question, m query, deadline time.Time, a *resolver.Answer) (fail *failure, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", s.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(past) })()
	framed := append(binary.BigEndian.AppendUint16(make([]byte, 0, len(m.data)+2), uint16(len(m.data))), m.data...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > udpBuffer {
		select {
		case c.streams <- struct{}{}:
			defer func() { <-c.streams }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(conn, data); err != nil {
		return nil, err
	}
	if m.match(data) == foreign || truncated(data) {
		return s.malformed(errors.New("the message over TCP is not an answer")), nil
	}
	return s.read(q, data, a), nil
}
