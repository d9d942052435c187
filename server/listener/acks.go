package listener

import (
	"net"
	"sync/atomic"
)

// acks has what was received acknowledged at once where no answer does it. Postfix writes a command
// of the milter protocol in pieces and Nagle's algorithm (RFC 896) holds the next piece back until
// the last is acknowledged, which a system delays by 40 ms and more (RFC 1122 §4.2.3.2). Its zero
// value is ready.
type acks struct {
	written atomic.Bool // since the last read
	looked  bool        // of the goroutine that reads
	now     func()      // sends the acknowledgement; nil where that is not needed or not possible
}

// beforeRead is called before each read.
func (a *acks) beforeRead(conn net.Conn) {
	if !a.looked {
		a.looked = true
		if tcp, ok := conn.(*net.TCPConn); ok {
			a.now = ackAtOnce(tcp)
		}
		return
	}
	if !a.written.Swap(false) && a.now != nil {
		a.now()
	}
}
