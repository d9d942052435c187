// Package mailbox reads the messages of mail archives one after another: mbox files with
// any quoting of From lines, Maildirs, folders of files. It only reads.
package mailbox

import (
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
)

// DefaultMaxMessage is the longest message that is held.
const DefaultMaxMessage = 64 << 20

// Errors of a Message.
var (
	ErrTooLarge = errors.New("is too large")
	ErrEmpty    = errors.New("is empty")
	ErrNoFile   = errors.New("is no regular file")
)

// Message is one message of an archive, or why there is none at its place.
type Message struct {
	Name   string    // path of its file; in an mbox with "#" and its number, from 1
	Stored time.Time // when the archive took it, zero when it does not say
	Size   int64     // octets in the archive
	Raw    []byte    // as it is stored, with the line ends and the quoting of the archive
	Mbox   bool      // Raw may be quoted: see Unquoted
	Err    error     // why there is no Raw
}

// Release gives the room of Raw to messages that are read later. Nobody may use Raw after it.
func (m *Message) Release() {
	if raw := m.Raw; cap(raw) > 0 && cap(raw) <= keptRoom {
		rooms.Put(&raw)
	}
	m.Raw = nil
}

// rooms are those of messages that were released.
var rooms sync.Pool

// keptRoom is how large a room may be that is used again.
const keptRoom = 1 << 20

// room is one of at least n octets.
func room(n int) []byte {
	if r, ok := rooms.Get().(*[]byte); ok && cap(*r) >= n {
		return (*r)[:n]
	}
	return make([]byte, n)
}

// Archive is a set of paths to read.
type Archive struct {
	Paths      []string
	MaxMessage int64 // octets; 0 is DefaultMaxMessage

	passed int64
}

// Passed is how many files of folders were passed over until now, because their names are
// none of mail.
func (a *Archive) Passed() int64 { return a.passed }

// Size is the octets of all files that Messages will read, as far as they can be found.
func (a *Archive) Size(ctx context.Context) int64 {
	var sum int64
	for _, root := range a.Paths {
		walk(root, func(f file) bool {
			if info, err := os.Stat(f.path); f.err == nil && err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
			return ctx.Err() == nil
		}, nil)
	}
	return sum
}

// Messages gives the messages in the order of the paths, in a folder in that of the names.
// The next one is read when it is asked for.
func (a *Archive) Messages() iter.Seq[Message] {
	most := a.MaxMessage
	if most <= 0 {
		most = DefaultMaxMessage
	}
	return func(yield func(Message) bool) {
		a.passed = 0
		for _, root := range a.Paths {
			if !walk(root, func(f file) bool { return f.messages(most, yield) }, &a.passed) {
				return
			}
		}
	}
}

// file is a file that holds mail, or a place that cannot be read.
type file struct {
	path    string
	maildir bool
	regular bool // known to be a regular file
	err     error
}

// walk calls visit for each file below root in order, until it returns false. Symbolic links
// within a folder are not followed.
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

// walkFolder takes every file of a folder of a Maildir, else those that are named like mail.
func walkFolder(dir string, maildir bool, visit func(file) bool, passed *int64) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return visit(file{path: dir, err: err})
	}
	isMaildir := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() && (e.Name() == "cur" || e.Name() == "new") })
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && isMaildir && name == "tmp": // deliveries that are not complete (maildir(5))
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

// namedLikeMail reports whether a file of a folder is mail by its name: .eml, .mbox, or the
// numbers of MH.
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

// messages gives what is in the file. It reports false when yield wants no more.
func (f file) messages(most int64, yield func(Message) bool) bool {
	m := Message{Name: f.path, Err: f.err}
	if f.err != nil {
		return yield(m)
	}
	if !f.regular {
		if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
			m.Err = ErrNoFile // opening a pipe would wait for its writer
			return yield(m)
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
	if f.maildir {
		m.Stored = maildirTime(filepath.Base(f.path))
	} else if isMbox(r) {
		b := &mbox{name: f.path, file: r, size: m.Size, most: most}
		return b.messages(yield)
	}
	switch {
	case m.Size > most:
		m.Err = ErrTooLarge
	case m.Size == 0:
		m.Err = ErrEmpty
	default:
		m.Raw = room(int(m.Size))
		if _, err := io.ReadFull(r, m.Raw); err != nil {
			m.Raw, m.Err = nil, fmt.Errorf("cannot be read: %w", err)
		}
	}
	return yield(m)
}

// isMbox reports whether a file begins with a From line (RFC 4155).
func isMbox(r io.ReaderAt) bool {
	var head [len(fromLine)]byte
	n, _ := r.ReadAt(head[:], 0)
	return string(head[:n]) == fromLine
}

// maildirTime is the time of delivery in the name of a file, such as "1762072207.M1P2.host".
func maildirTime(name string) time.Time {
	seconds, _, _ := strings.Cut(name, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 1e8 || n > 1e11 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
