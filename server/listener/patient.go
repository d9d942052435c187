package listener

import (
	"net"
	"time"
)

// Patient reads from a connection and gives each read its own time, so that a client may take
// as long as something comes. Without Each the deadline of the connection stays.
type Patient struct {
	Conn net.Conn
	Each time.Duration
}

// Read implements io.Reader.
func (p *Patient) Read(b []byte) (int, error) {
	if p.Each > 0 {
		if err := p.Conn.SetReadDeadline(time.Now().Add(p.Each)); err != nil {
			return 0, err
		}
	}
	return p.Conn.Read(b)
}
