//go:build !linux

package listener

import "net"

// ackAtOnce returns nil: TCP_QUICKACK is of Linux.
func ackAtOnce(*net.TCPConn) func() { return nil }
