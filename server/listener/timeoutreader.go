package listener

import (
	"net"
	"time"
)

// TimeoutReader reads from a connection and gives each read its own time, so that a client may take
// as long as something comes. Without Timeout the deadline of the connection stays.
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
