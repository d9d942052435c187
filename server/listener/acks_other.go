//go:build !linux

package listener

import "net"

// ackAtOnce returns nil: only Linux has TCP_QUICKACK.
func ackAtOnce(*net.TCPConn) func() { return nil }
