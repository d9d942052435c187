// Package loopback has servers for tests.
package loopback

import (
	"net"
	"testing"
)

// Serve listens on a TCP port of 127.0.0.1 until the test ends, and returns its address. handle gets
// each connection in its own goroutine; the connection is closed after it returns.
func Serve(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}
