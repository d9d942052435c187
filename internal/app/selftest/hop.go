package selftest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Hop is a next hop that is as lenient as any server may be: it accepts a dot between any two
// line endings, CRLF, LF or CR, as the end of a message. It therefore shows what is smuggled
// through the server in front of it.
type Hop struct {
	listener net.Listener
	served   sync.WaitGroup
	mu       sync.Mutex
	senders  []string
}

// NewHop listens on loopback.
func NewHop() (*Hop, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &Hop{listener: l}
	h.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.served.Go(func() { defer conn.Close(); h.serve(conn) })
		}
	})
	return h, nil
}

// Addr returns its address.
func (h *Hop) Addr() string { return h.listener.Addr().String() }

// Close stops it, once the servers in front of it have disconnected.
func (h *Hop) Close() { h.listener.Close(); h.served.Wait() }

// Take returns the reverse-paths of the messages received so far, and clears them.
func (h *Hop) Take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.senders
	h.senders = nil
	return all
}

func (h *Hop) serve(conn net.Conn) {
	r, from := bufio.NewReader(conn), ""
	fmt.Fprint(conn, "220 hop.test ESMTP\r\n")
	for {
		line, err := readLenient(r)
		if err != nil {
			return
		}
		reply := "250 ok"
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "MAIL":
			from = rest
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			if skipMessage(r) != nil {
				return
			}
			h.mu.Lock()
			h.senders = append(h.senders, from)
			h.mu.Unlock()
		}
		fmt.Fprint(conn, reply+"\r\n")
	}
}

// readLenient reads a line with any line ending.
func readLenient(r *bufio.Reader) (string, error) {
	var line strings.Builder
	for line.Len() < 64<<10 {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return line.String(), nil
		}
		if c == '\r' {
			if next, err := r.Peek(1); err == nil && next[0] == '\n' {
				r.ReadByte() // it was peeked at
			}
			return line.String(), nil
		}
		line.WriteByte(c)
	}
	return "", io.ErrShortBuffer
}

// skipMessage reads up to a line that is a dot.
func skipMessage(r *bufio.Reader) error {
	for {
		switch line, err := readLenient(r); {
		case err != nil:
			return err
		case line == ".":
			return nil
		}
	}
}
