package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"postseal/server/listener"
)

// command is what the MTA sends (SMFIC_*).
type command byte

// The commands of version 6. A macro command precedes the command it is for.
const (
	cmdNegotiate command = 'O'
	cmdMacro     command = 'D'
	cmdConnect   command = 'C'
	cmdHelo      command = 'H'
	cmdMail      command = 'M'
	cmdRcpt      command = 'R'
	cmdData      command = 'T'
	cmdHeader    command = 'L'
	cmdEndHeader command = 'N'
	cmdBody      command = 'B'
	cmdEnd       command = 'E'
	cmdAbort     command = 'A'
	cmdQuit      command = 'Q'
	cmdNewConn   command = 'K'
	cmdUnknown   command = 'U'
)

// reply is what we send (SMFIR_*).
type reply byte

// The replies that we use.
const (
	replyContinue   reply = 'c'
	replyTempFail   reply = 't'
	replyCode       reply = 'y'
	replyProgress   reply = 'p'
	replyQuarantine reply = 'q'
	replyInsert     reply = 'i'
	replyChange     reply = 'm'
)

// maxPacket is the maximum size of a packet in octets: the largest body chunk that any MTA
// sends is 1 MiB, and a header field of Postfix at most 100 KiB.
const maxPacket = 1<<20 + 1<<10

// bodyPiece is how much of a body chunk is processed at a time, so it is hashed while it is
// still in the processor's cache, however many sessions take turns.
const bodyPiece = 32 << 10

// keptBuffer is how much of the read buffer is kept after a packet.
const keptBuffer = 128 << 10

const writeTimeout = 30 * time.Second

// ProtocolError reports a packet that no MTA should send. Kind is a metric label.
type ProtocolError struct {
	Kind string // "oversized", "malformed", "order", "negotiation"
	Text string
}

// Error describes the packet.
func (e *ProtocolError) Error() string { return "milter: " + e.Text }

func malformed(format string, args ...any) error {
	return &ProtocolError{"malformed", fmt.Sprintf(format, args...)}
}

// wire reads and writes packets: a length of four octets, most significant first, one command
// octet, data. Writes are held back until the next read would block, because most of their cost
// is one system call each.
type wire struct {
	conn    net.Conn
	timeout listener.TimeoutReader // with an MTA that sends nothing
	in      []byte                 // the data read; octets from at on have not been processed
	at      int
	body    int  // remaining octets of the current body chunk
	mail    bool // a message is in transfer: see mailBuffer

	mu  sync.Mutex // progress is written by another goroutine
	out []byte     // held back
	err error
}

// The buffer of a session without a message is small, because most sessions only wait. With a
// message it is large, to read everything that the MTA has written at once.
const (
	idleBuffer = 2 << 10
	mailBuffer = bodyPiece
	maxOut     = 4 << 10 // octets held back
)

// mailBuffers are of mailBuffer octets each. A session holds one until it waits for the next
// message, or ends. A new one for each message would cost 17 µs, a tenth of a small message.
var mailBuffers = sync.Pool{New: func() any { return new([mailBuffer]byte) }}

func newWire(conn net.Conn) *wire {
	return &wire{conn: conn, timeout: listener.TimeoutReader{Conn: conn, Timeout: negotiateTimeout}}
}

// close returns the buffer to the pool. Data of the last read is no longer valid.
func (w *wire) close() { w.move(nil) }

// move copies the unprocessed data to another buffer.
func (w *wire) move(to []byte) {
	old := w.in
	w.in, w.at = append(to, old[w.at:]...), 0
	if cap(old) == mailBuffer {
		mailBuffers.Put((*[mailBuffer]byte)(old[:mailBuffer]))
	}
}

func (w *wire) buffered() int { return len(w.in) - w.at }

// read returns the next packet, or the next piece of a body chunk: see whole. Its data is valid
// until the next read.
func (w *wire) read() (command, []byte, error) {
	if w.body > 0 {
		return w.piece()
	}
	if w.buffered() == 0 {
		if err := w.flush(); err != nil {
			return 0, nil, err
		}
	}
	head, err := w.take(4)
	if err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head)
	switch {
	case size == 0:
		return 0, nil, malformed("a packet without a command")
	case size > maxPacket:
		return 0, nil, &ProtocolError{"oversized", fmt.Sprintf("a packet of %d octets, at most %d", size, maxPacket)}
	}
	head, err = w.take(1)
	if err != nil {
		return 0, nil, cutShort(err)
	}
	c := command(head[0])
	if c == cmdBody {
		w.body = int(size) - 1
		return w.piece()
	}
	data, err := w.take(int(size) - 1)
	return c, data, cutShort(err)
}

// piece returns the next piece of a body chunk: what has arrived, up to bodyPiece.
func (w *wire) piece() (command, []byte, error) {
	if w.body == 0 {
		return cmdBody, nil, nil
	}
	if _, err := w.take(1); err != nil {
		return 0, nil, cutShort(err)
	}
	from := w.at - 1
	n := min(w.body, bodyPiece, len(w.in)-from)
	w.at = from + n
	w.body -= n
	return cmdBody, w.in[from:w.at:w.at], nil
}

// whole reports whether the last read reached the end of its packet; an answer is due then.
func (w *wire) whole() bool { return w.body == 0 }

// cutShort returns err, unless the end of the stream is expected.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take returns the next n octets. The buffer grows as they arrive, so a client that announces a
// large packet and sends nothing uses no memory.
func (w *wire) take(n int) ([]byte, error) {
	for w.buffered() < n {
		w.makeRoom(n)
		k, err := w.timeout.Read(w.in[len(w.in):cap(w.in)])
		w.in = w.in[:len(w.in)+k]
		if err != nil && w.buffered() < n {
			if w.buffered() > 0 {
				err = cutShort(err)
			}
			return nil, err
		}
	}
	data := w.in[w.at : w.at+n : w.at+n]
	w.at += n
	return data, nil
}

// makeRoom makes room for one more read towards n octets.
func (w *wire) makeRoom(n int) {
	switch {
	case w.buffered() == 0:
		w.renew()
	case w.at+n <= cap(w.in):
	case n <= cap(w.in):
		w.in = append(w.in[:0], w.in[w.at:]...)
		w.at = 0
	case len(w.in) == cap(w.in):
		w.move(make([]byte, 0, min(n, max(2*w.buffered(), mailBuffer))))
	}
}

// renew starts again with an empty buffer of the required size.
func (w *wire) renew() {
	switch {
	case !w.mail && cap(w.in) != idleBuffer:
		w.move(make([]byte, 0, idleBuffer))
	case w.mail && (cap(w.in) < mailBuffer || cap(w.in) > keptBuffer):
		w.move(mailBuffers.Get().(*[mailBuffer]byte)[:0])
	}
	w.in, w.at = w.in[:0], 0
}

// write adds a packet of all parts to the next flush.
func (w *wire) write(r reply, parts ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(r, parts...)
}

// put is write with w.mu held.
func (w *wire) put(r reply, parts ...[]byte) {
	size := 1
	for _, p := range parts {
		size += len(p)
	}
	var head [5]byte
	binary.BigEndian.PutUint32(head[:4], uint32(size))
	head[4] = byte(r)
	w.out = append(w.out, head[:]...)
	for _, p := range parts {
		w.out = append(w.out, p...)
	}
	if len(w.out) > maxOut {
		w.send()
	}
}

// progress tells the MTA at intervals that we are still working, until stop. Nothing is written
// after stop.
func (w *wire) progress(every time.Duration) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var timer *time.Timer
	ended := false
	timer = time.AfterFunc(every, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !ended {
			w.put(replyProgress)
			w.send()
			timer.Reset(every)
		}
	})
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		ended = true
		timer.Stop()
	}
}

func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.send()
}

func (w *wire) send() error {
	if w.err == nil && len(w.out) > 0 {
		w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, w.err = w.conn.Write(w.out)
	}
	w.out = w.out[:0]
	return w.err
}

// cstring splits the NUL-terminated string off data.
func cstring(data []byte) (s, rest []byte, err error) {
	end := bytes.IndexByte(data, 0)
	if end < 0 {
		return nil, nil, malformed("a string without its NUL")
	}
	return data[:end], data[end+1:], nil
}

var nul = []byte{0}
