package listener

import (
	"slices"
	"time"
)

// A listener that is full makes room: connections that do nothing end for those that wait.
const (
	evictInterval = time.Second // between looks while one waits
	evictShare    = 4           // of the connections one part goes at a time
	// A message that comes is not "nothing", unless it comes very slowly, as Postfix has it
	// under stress (smtpd_min_data_rate).
	slowMessage = 6   // times the timeout with a connection without a message
	slowOctets  = 500 // a second
)

// acquireSlot takes a slot for a connection that was accepted. It returns false when the server
// was closed first.
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

// evictIdle ends the connections that have done nothing for the longest time.
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
		s.Engine.Log.Warn("the door is full: connections that do nothing end for those that wait", "door", s.Name, "connections", s.MaxConns, "ended", len(idleTooLong))
	})
}

// idleTooLong is to be called with server.mu held.
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

// past is a deadline that is over.
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

// cutOff lets every read fail as if the client had been silent for too long: the listener says
// so in its protocol, and an answer on its way still goes out.
func (c *Conn) cutOff() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.cut = true
	c.Conn.SetReadDeadline(past)
}
