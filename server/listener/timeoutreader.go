package listener

import (
	"net"
	"time"
)

// TimeoutReader reads from a connection and gives each read its own timeout, so a client may
// take any time as long as it sends something. Without Timeout the deadline of the connection
// applies.
type TimeoutReader struct {
	Conn    net.Conn
	Timeout time.Duration
}

// Read implements io.Reader.
func (p *TimeoutReader) Read(b []byte) (int, error) {
	if p.Timeout > 0 {
		if err := p.Conn.SetReadDeadline(time.Now().Add(p.Timeout)); err != nil {
			return 0, err
		}
	}
	return p.Conn.Read(b)
}
