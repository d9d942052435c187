package listener

import (
	"slices"
	"time"
)

// When a listener reaches its connection limit, it closes idle connections to admit waiting clients.
const (
	evictInterval = time.Second // between checks while a client waits
	evictShare    = 4           // the part of the connections that is closed at a time
	// A message in transfer does not count as idle, unless it arrives very slowly, like Postfix
	// under stress (smtpd_min_data_rate).
	slowMessage = 6   // how often per timeout a connection without a message is checked
	slowOctets  = 500 // a second
)

// acquireSlot takes a slot for an accepted connection. It returns false if the server was
// closed first.
func (s *Server) acquireSlot() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	look := time.NewTicker(min(evictInterval, s.IdleTimeout))
	defer look.Stop()
	for {
		s.evictIdle(time.Now())
		select {
		case s.slots <- struct{}{}:
			return true
		case <-look.C:
		case <-s.ctx.Done():
			return false
		}
	}
}

// evictIdle closes the connections that have been idle for the longest time.
func (s *Server) evictIdle(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idleTooLong []*Conn
	for c := range s.conns {
		if !c.isCut() && c.idleTooLong(now) {
			idleTooLong = append(idleTooLong, c)
		}
	}
	slices.SortFunc(idleTooLong, func(a, b *Conn) int { return a.since.Compare(b.since) })
	idleTooLong = idleTooLong[:min(len(idleTooLong), max(1, s.MaxConns/evictShare))]
	for _, c := range idleTooLong {
		c.cutOff()
		s.Engine.Metrics.Shed.WithLabelValues(s.Name, "full").Inc()
	}
	s.full.Do(func() {
		s.Engine.Log.Warn("connection limit reached: closing idle and slow connections to admit waiting clients", "door", s.Name, "connections", s.MaxConns, "ended", len(idleTooLong))
	})
}

// idleTooLong must be called with server.mu held.
func (c *Conn) idleTooLong(now time.Time) bool {
	age := now.Sub(c.since)
	if !c.busy {
		return age >= c.server.IdleTimeout
	}
	return age >= slowMessage*c.server.IdleTimeout && float64(c.octets.Load()) < slowOctets*age.Seconds()
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.acks.beforeRead(c.Conn)
	n, err := c.Conn.Read(b)
	c.octets.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.acks.written.Store(true)
	return c.Conn.Write(b)
}

func (c *Conn) isCut() bool {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	return c.cut
}

// past is a deadline in the past.
var past = time.Unix(1, 0)

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.cut {
		t = past
	}
	return c.Conn.SetReadDeadline(t)
}

// cutOff makes every read fail as if the client had been silent for too long. The listener then
// says so in its protocol, and an answer in progress is still sent.
func (c *Conn) cutOff() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.cut = true
	c.Conn.SetReadDeadline(past)
}
