package selftest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Hop is a next hop that is as lenient as all the servers together that fell for smuggling: it drops
// NUL octets, and accepts a dot between any two line endings, CRLF, LF or CR, as the end of a
// message, with white space after the dot too. It therefore shows what is smuggled
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
			fmt.Fprint(conn, "354 continue\r\n")
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
		switch c {
		case 0: // dropped
		case '\n':
			return line.String(), nil
		case '\r':
			return line.String(), skipLF(r)
		default:
			line.WriteByte(c)
		}
	}
	return "", io.ErrShortBuffer
}

// skipLF reads the LF after a CR, with the NUL octets before it, if it has come.
func skipLF(r *bufio.Reader) error {
	for n := 1; n <= r.Buffered(); n++ {
		next, err := r.Peek(n)
		if err != nil {
			return err
		}
		switch next[n-1] {
		case 0:
			continue
		case '\n':
			_, err = r.Discard(n)
			return err
		}
		return nil
	}
	return nil
}

// skipMessage reads up to a line that is a dot.
func skipMessage(r *bufio.Reader) error {
	for {
		switch line, err := readLenient(r); {
		case err != nil:
			return err
		case strings.TrimRight(line, " \t") == ".":
			return nil
		}
	}
}
