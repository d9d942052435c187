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

// The commands of version 6. A macro command goes before the command it is for.
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

// maxPacket is the most octets of a packet: the largest body chunk that any MTA sends is 1
// MiB, and a header field of Postfix at most 100 KiB.
const maxPacket = 1<<20 + 1<<10

// bodyPiece is how much of a body chunk is taken at a time: it is hashed while the processor
// still has it at hand, however many sessions take turns.
const bodyPiece = 32 << 10

// keptBuffer is how much of the read buffer outlives a packet.
const keptBuffer = 128 << 10

const writeTimeout = 30 * time.Second

// ProtocolError is a packet that no MTA should send. Kind is a metric label.
type ProtocolError struct {
	Kind string // "oversized", "malformed", "order", "negotiation"
	Text string
}

// Error says what was wrong.
func (e *ProtocolError) Error() string { return "milter: " + e.Text }

func malformed(format string, args ...any) error {
	return &ProtocolError{"malformed", fmt.Sprintf(format, args...)}
}

// wire reads and writes packets: a length of four octets, most significant first, one
// command octet, data. Writes are held back until the next read would block, since one
// system call each is most of the cost.
type wire struct {
	conn    net.Conn
	timeout listener.TimeoutReader // with an MTA that says nothing
	in      []byte                 // what was read; the octets from at on are not taken yet
	at      int
	body    int  // octets of the body chunk at hand that are to come
	mail    bool // a message is coming: see mailBuffer

	mu  sync.Mutex // progress is written beside the session
	out []byte     // held back
	err error
}

// The buffer of a session without a message is small, since most sessions only wait. With a
// message it is a large one, which takes whatever the MTA has written at once.
const (
	idleBuffer = 2 << 10
	mailBuffer = bodyPiece
	maxOut     = 4 << 10 // octets held back
)

// mailBuffers are of mailBuffer octets each. A session holds one until it waits for the next
// message, or ends.
var mailBuffers = sync.Pool{New: func() any { return new([mailBuffer]byte) }}

func newWire(conn net.Conn) *wire {
	return &wire{conn: conn, timeout: listener.TimeoutReader{Conn: conn, Timeout: negotiateTimeout}}
}

// close gives the buffer back. Data of the last read is not valid any more.
func (w *wire) close() { w.move(nil) }

// move puts what is not taken into another buffer.
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

// piece returns the next one of a body chunk: what has come of it, up to bodyPiece.
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

// whole reports whether the last read came to the end of its packet: an answer is due then.
func (w *wire) whole() bool { return w.body == 0 }

// cutShort is err where the end of the stream is none.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take returns the next n octets. The buffer grows as they come: who announces a large packet
// and sends nothing holds no memory.
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

// makeRoom makes room for one more read on the way to n octets.
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

// renew begins again with an empty buffer of the size that is due.
func (w *wire) renew() {
	switch {
	case w.mail && cap(w.in) < mailBuffer, cap(w.in) > keptBuffer:
		w.move(mailBuffers.Get().(*[mailBuffer]byte)[:0])
	case !w.mail && cap(w.in) != idleBuffer:
		w.move(make([]byte, 0, idleBuffer))
	}
	w.in, w.at = w.in[:0], 0
}

// write sends a packet of all parts with the next flush.
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

// progress tells the MTA every so often that we are still at it, until stop. Nothing of it
// is written after stop.
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

// cstring cuts the NUL-terminated string off data.
func cstring(data []byte) (s, rest []byte, err error) {
	end := bytes.IndexByte(data, 0)
	if end < 0 {
		return nil, nil, malformed("a string without its NUL")
	}
	return data[:end], data[end+1:], nil
}

var nul = []byte{0}
