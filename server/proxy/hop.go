package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"
)

// The timeouts for the next hop (RFC 5321 §4.5.3.2).
const (
	dialTimeout    = 30 * time.Second
	commandTimeout = 5 * time.Minute
	dataTimeout    = 10 * time.Minute // for the reply to the final dot
)

// hop is a connection to the next hop. Any error ends it.
type hop struct {
	conn         net.Conn
	r            *bufio.Reader
	w            *bufio.Writer
	capabilities capabilities
	spoken       time.Time   // when it was last used
	stop         func() bool // ends the connection together with its context
}

var errGreeting = errors.New("the next hop does not accept mail now")

// openHop waits for the greeting of the server at the other end of conn. The connection ends with ctx.
func openHop(ctx context.Context, conn net.Conn) (*hop, error) {
	h := &hop{conn: conn, r: bufio.NewReaderSize(conn, readBuffer), w: bufio.NewWriter(conn)}
	h.stop = context.AfterFunc(ctx, func() { conn.Close() })
	greeting, err := h.reply(commandTimeout)
	if err == nil && greeting.code != 220 {
		err = errGreeting
	}
	if err != nil {
		h.drop()
		return nil, err
	}
	return h, nil
}

func (h *hop) reply(timeout time.Duration) (reply, error) {
	if err := h.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return reply{}, err
	}
	return readReply(h.r)
}

// errAhead means that the next hop replied before it was sent the command, so a reply to a
// message could come before it has the message.
var errAhead = errors.New("the next hop replied before it was sent the command")

// pending reports whether the next hop has sent an unexpected reply: read as the reply to the
// next command, it would shift all later replies.
func (h *hop) pending() bool {
	if h.r.Buffered() > 0 {
		return true
	}
	socket, ok := h.conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	waiting := false
	raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		waiting = err == nil && n > 0
		return true
	})
	return waiting
}

// command sends one line and returns the reply to it.
func (h *hop) command(line string) (reply, error) {
	if h.pending() {
		return reply{}, errAhead
	}
	h.spoken = time.Now()
	if err := h.conn.SetWriteDeadline(h.spoken.Add(commandTimeout)); err != nil {
		return reply{}, err
	}
	h.w.WriteString(line)
	h.w.WriteString("\r\n")
	if err := h.w.Flush(); err != nil {
		return reply{}, err
	}
	return h.reply(commandTimeout)
}

// hello greets with EHLO, or with HELO if the server supports nothing else (RFC 5321 §3.2).
func (h *hop) hello(name string) (reply, error) {
	got, err := h.command("EHLO " + name)
	if err != nil {
		return reply{}, err
	}
	h.capabilities = capabilities{}
	if got.positive() {
		h.capabilities = parseCapabilities(got)
		return got, nil
	}
	if got.code != 500 && got.code != 502 {
		return got, nil
	}
	return h.command("HELO " + name)
}

// send sends a message after DATA was answered with 354, and returns the reply to its final
// dot.
func (h *hop) send(write func(*dotWriter) error) (reply, error) {
	h.spoken = time.Now()
	out := newDotWriter(bufio.NewWriterSize(deadlineWriter{h.conn}, 32<<10))
	if err := write(out); err != nil {
		return reply{}, err
	}
	if h.pending() {
		return reply{}, errAhead
	}
	if err := out.end(); err != nil {
		return reply{}, err
	}
	return h.reply(dataTimeout)
}

// deadlineWriter gives each write its own timeout.
type deadlineWriter struct{ conn net.Conn }

// Write implements io.Writer.
func (d deadlineWriter) Write(p []byte) (int, error) {
	if err := d.conn.SetWriteDeadline(time.Now().Add(commandTimeout)); err != nil {
		return 0, err
	}
	return d.conn.Write(p)
}

// close sends QUIT without waiting for a reply.
func (h *hop) close() {
	if h.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		h.w.WriteString("QUIT\r\n")
		h.w.Flush() // the other side may have disconnected
	}
	h.drop()
}

// drop closes the connection immediately, even in the middle of a message, which the next hop
// then discards.
func (h *hop) drop() {
	h.stop()
	h.conn.Close()
}

// capability is a line of the reply to EHLO: a keyword in upper case and its parameters.
type capability struct {
	keyword string
	params  string
}

// capabilities are in the order sent by the next hop.
type capabilities []capability

func parseCapabilities(r reply) capabilities {
	var all capabilities
	for _, line := range r.lines[1:] {
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, capability{strings.ToUpper(keyword), strings.TrimSpace(params)})
	}
	return all
}

func (c capabilities) find(keyword string) (params string, ok bool) {
	for _, e := range c {
		if e.keyword == keyword {
			return e.params, true
		}
	}
	return "", false
}

func (c capabilities) has(keyword string) bool {
	_, ok := c.find(keyword)
	return ok
}
