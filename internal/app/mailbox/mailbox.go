// Package mailbox reads the messages of mail archives one after another: mbox files with any
// quoting of From lines, Maildirs, and directories of files. It only reads.
package mailbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// DefaultMaxMessage is the size of the longest message that is read into memory.
const DefaultMaxMessage = 64 << 20

// Errors of a Message.
var (
	ErrTooLarge = errors.New("is too large")
	ErrEmpty    = errors.New("is empty")
	ErrNoFile   = errors.New("is neither a file nor a pipe")
)

// Message is one message of an archive, or the reason why it cannot be read.
type Message struct {
	Name   string    // path of its file; in an mbox with "#" and its number, from 1
	Stored time.Time // when the archive received it, zero if unknown
	Line   string    // the From line before it in an mbox, without its line ending
	Size   int64     // octets in the archive
	Raw    []byte    // as stored, with the line endings and the quoting of the archive
	Mbox   bool      // Raw may be quoted: see Unquoted
	Err    error     // why Raw is missing

	buffer  *[]byte  // the buffer of Raw, if it can be reused
	archive *Archive // the archive of the message
	unread  bool     // Load must read Raw
	large   int64    // octets it uses of Archive.large
	offset  int64    // of its From line in an mbox
}

// Load reads a message of a Maildir, which Messages leaves in its file, so that workers can
// read in parallel. A large message waits for memory until ctx ends. If the message has already
// been read, Load does nothing.
func (m *Message) Load(ctx context.Context) {
	if !m.unread {
		return
	}
	m.unread = false
	f, err := openBare(m.Name)
	if err != nil {
		m.Err = err
		return
	}
	defer f.close()
	if m.Size, m.Err = f.size(); m.Err != nil {
		return
	}
	most := m.archive.most()
	if m.Size > keptBuffer && m.Size <= most {
		octets := min(m.Size, largeBuffer)
		if m.Err = m.archive.large.Acquire(ctx, octets); m.Err != nil {
			return
		}
		m.large = octets
	}
	m.read(f, most)
}

// Release returns the buffer of Raw for other messages. Raw must not be used afterwards.
func (m *Message) Release() {
	if m.buffer != nil {
		if *m.buffer = m.Raw; cap(m.Raw) > keptBuffer {
			*m.buffer = nil
		}
		buffers.Put(m.buffer)
	}
	if m.large > 0 {
		m.archive.large.Release(m.large)
	}
	m.Raw, m.buffer, m.large = nil, nil, 0
}

// read reads the octets of a message that is a file.
func (m *Message) read(r io.Reader, most int64) {
	switch {
	case m.Size > most:
		m.Err = ErrTooLarge
	case m.Size == 0:
		m.Err = ErrEmpty
	default:
		m.Raw = slices.Grow(m.empty(), int(m.Size))[:m.Size]
		if _, err := io.ReadFull(r, m.Raw); err != nil {
			m.Raw, m.Err = nil, fmt.Errorf("cannot be read: %w", err)
		}
	}
}

// buffers are those of released messages: 9 % of the CPU time of a replay of messages of 10 KB.
var buffers sync.Pool

// Sizes of buffers in octets.
const (
	keptBuffer  = 1 << 20   // of a buffer that is reused
	largeBuffer = 128 << 20 // of all larger ones that Load reads at the same time
)

// empty gets a buffer for Raw.
func (m *Message) empty() []byte {
	r, ok := buffers.Get().(*[]byte)
	if !ok {
		r = new([]byte)
	}
	m.buffer = r
	return (*r)[:0]
}

// Archive is a set of paths to read.
type Archive struct {
	Paths      []string
	MaxMessage int64 // octets; 0 is DefaultMaxMessage

	passed int64
	large  *semaphore.Weighted // octets of the large messages that Load is reading
}

// Passed is how many files in directories have been skipped so far because their names do not
// look like mail.
func (a *Archive) Passed() int64 { return a.passed }

func (a *Archive) most() int64 {
	if a.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return a.MaxMessage
}

// Extent is how much there is to read: octets, and files in Maildirs, which are only counted.
// Getting the size of each would take a quarter of the time of reading it.
type Extent struct {
	Octets int64
	Files  int
}

// Total estimates the octets of everything, if mean is the average size of Maildir files.
func (e Extent) Total(mean float64) int64 { return e.Octets + int64(float64(e.Files)*mean) }

// Extent returns what Messages will read, as far as it can be determined.
func (a *Archive) Extent(ctx context.Context) Extent {
	var e Extent
	for _, root := range a.Paths {
		walk(root, func(f file) bool {
			if f.maildir {
				e.Files++
			} else if info, err := os.Stat(f.path); f.err == nil && err == nil && info.Mode().IsRegular() {
				e.Octets += info.Size()
			}
			return ctx.Err() == nil
		}, nil)
	}
	return e
}

// Messages yields the messages in the order of the paths, and within a directory in the order
// of the names. It reads the next message when the caller asks for it; messages in Maildirs are
// read by Message.Load.
func (a *Archive) Messages() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		a.passed, a.large = 0, largeBuffers()
		for _, root := range a.Paths {
			if !walk(root, func(f file) bool { return a.messages(f, yield) }, &a.passed) {
				return
			}
		}
	}
}

func largeBuffers() *semaphore.Weighted { return semaphore.NewWeighted(largeBuffer) }

// file is a file that contains mail, or a path that cannot be read.
type file struct {
	path    string
	maildir bool
	regular bool // known to be a regular file
	err     error
}

// walk calls visit for each file below root in order, until it returns false. It does not
// follow symbolic links within a directory.
func walk(root string, visit func(file) bool, passed *int64) bool {
	info, err := os.Stat(root)
	switch {
	case err != nil:
		return visit(file{path: root, err: err})
	case !info.IsDir():
		return visit(file{path: root})
	}
	base := filepath.Base(root)
	return walkFolder(root, base == "cur" || base == "new", visit, passed)
}

// walkFolder visits every file in a directory of a Maildir, and otherwise those named like mail.
func walkFolder(dir string, maildir bool, visit func(file) bool, passed *int64) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return visit(file{path: dir, err: err})
	}
	prefix := strings.TrimSuffix(filepath.Join(dir, "x"), "x")
	isMaildir := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() && (e.Name() == "cur" || e.Name() == "new") })
	for _, e := range entries {
		name, path := e.Name(), prefix+e.Name()
		switch {
		case e.IsDir() && isMaildir && name == "tmp": // incomplete deliveries (maildir(5))
		case e.IsDir():
			if !walkFolder(path, isMaildir && (name == "cur" || name == "new"), visit, passed) {
				return false
			}
		case e.Type().IsRegular() && (maildir && name[0] != '.' || !maildir && namedLikeMail(name)):
			if !visit(file{path: path, maildir: maildir, regular: true}) {
				return false
			}
		case passed != nil:
			*passed++
		}
	}
	return true
}

// namedLikeMail reports whether the name of a file looks like mail: .eml, .mbox, or the numbers
// of MH.
func namedLikeMail(name string) bool {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return true
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".eml", ".mbox", ".mbx":
		return true
	}
	return strings.EqualFold(name, "mbox")
}

// messages yields the messages in the file. It returns false if yield does.
func (a *Archive) messages(f file, yield func(Message) bool) bool {
	m := Message{Name: f.path, Err: f.err, archive: a}
	switch {
	case f.err != nil:
		return yield(m)
	case f.maildir:
		m.Stored, m.unread = maildirTime(filepath.Base(f.path)), true
		return yield(m)
	case !f.regular:
		if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
			if info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
				m.Err = ErrNoFile
				return yield(m)
			}
			return a.stream(m, yield)
		}
	}
	r, err := os.Open(f.path)
	if err != nil {
		m.Err = err
		return yield(m)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		m.Err = err
		return yield(m)
	}
	m.Size = info.Size()
	if isMbox(r) {
		b := &mbox{name: f.path, file: r, size: m.Size, most: a.most()}
		b.seek(0)
		return b.messages(yield)
	}
	m.read(r, a.most())
	return yield(m)
}

// stream gives what comes through a pipe that a path names: an mbox, or one message.
func (a *Archive) stream(m Message, yield func(Message) bool) bool {
	f, err := os.Open(m.Name)
	if err != nil {
		m.Err = err
		return yield(m)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, streamBuffer)
	if head, _ := r.Peek(len(fromLine)); string(head) == fromLine {
		b := &mbox{name: m.Name, r: r, most: a.most()}
		return b.messages(yield)
	}
	m.Raw, m.Err = io.ReadAll(io.LimitReader(r, a.most()+1))
	m.Size = int64(len(m.Raw))
	switch {
	case m.Err != nil:
		m.Raw, m.Err = nil, fmt.Errorf("cannot be read: %w", m.Err)
	case m.Size > a.most():
		m.Raw, m.Err = nil, ErrTooLarge
	case m.Size == 0:
		m.Err = ErrEmpty
	}
	return yield(m)
}

// isMbox reports whether a file starts with a From line (RFC 4155).
func isMbox(r io.ReaderAt) bool {
	var head [len(fromLine)]byte
	n, _ := r.ReadAt(head[:], 0)
	return string(head[:n]) == fromLine
}

// maildirTime returns the time of delivery from the name of a file, such as "1762072207.M1P2.host".
func maildirTime(name string) time.Time {
	seconds, _, _ := strings.Cut(name, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 1e8 || n > 1e11 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
