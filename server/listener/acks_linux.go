package listener

import (
	"net"

	"golang.org/x/sys/unix"
)

// ackAtOnce returns a function that sends an acknowledgement that is due. The system resets
// TCP_QUICKACK, so it is set each time (tcp(7)).
func ackAtOnce(conn *net.TCPConn) func() {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	set := func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) }
	return func() { raw.Control(set) }
}
