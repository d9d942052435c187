package mailbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// Place says where messages are, so that another process that sees the same files can read them:
// one message that is a file, or several that follow each other in an mbox.
type Place struct {
	Path    []byte `json:"p"`           // names of files need not be UTF-8
	Maildir bool   `json:"m,omitempty"` // the name tells the time of delivery
	Offset  int64  `json:"o,omitempty"` // of the From line of the first message, in an mbox
	First   int    `json:"f,omitempty"` // its number, from 1; 0 for a file that is not an mbox
	Count   int    `json:"n"`           // messages, at least 1
	Mark    string `json:"k,omitempty"` // of what must be there: see Present
	Err     string `json:"e,omitempty"` // why the path cannot be read
}

// ErrChanged is the error of a message that was in an archive when its places were listed.
var ErrChanged = errors.New("is no longer where it was: the archive changed")

// Names yields the names of the messages, as Message.Name.
func (p *Place) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range p.Count {
			name := string(p.Path)
			if p.First > 0 {
				name = fmt.Sprintf("%s#%d", p.Path, p.First+i)
			}
			if !yield(name) {
				return
			}
		}
	}
}

// Places yields a place for each message, in the order of Messages. It reads mbox files, and only
// the first octets of others. A pipe has no places.
func (a *Archive) Places() iter.Seq[Place] {
	return func(yield func(Place) bool) {
		a.passed = 0
		for _, root := range a.Paths {
			if !walk(root, func(f file) bool { return a.places(f, yield) }, &a.passed) {
				return
			}
		}
	}
}

// CountPassed sets what Passed returns without reading any file.
func (a *Archive) CountPassed() {
	a.passed = 0
	for _, root := range a.Paths {
		walk(root, func(file) bool { return true }, &a.passed)
	}
}

func (a *Archive) places(f file, yield func(Place) bool) bool {
	p := Place{Path: []byte(f.path), Maildir: f.maildir, Count: 1}
	broken := func(err error) bool {
		p.Err = err.Error()
		return yield(p)
	}
	if f.err != nil {
		return broken(f.err)
	}
	if f.maildir {
		return yield(p)
	}
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		return broken(ErrNoFile)
	}
	r, err := os.Open(f.path)
	if err != nil {
		return broken(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return broken(err)
	}
	if !isMbox(r) {
		p.Mark = fmt.Sprint(info.Size())
		return yield(p)
	}
	b := &mbox{name: f.path, file: r, size: info.Size()} // most is 0: no message is kept
	b.seek(0)
	return b.messages(func(m Message) bool {
		p.First, p.Offset, p.Mark = b.count, m.offset, markOf(m.Line)
		m.Release()
		return yield(p)
	})
}

// markOf is the mark of a From line.
func markOf(line string) string {
	sum := sha256.Sum256([]byte(line))
	return hex.EncodeToString(sum[:8])
}

// Join adds a place to those of a list. Messages that follow each other in an mbox are one place.
func Join(list []Place, p Place) []Place {
	if n := len(list) - 1; n >= 0 && p.First > 0 && list[n].First > 0 && string(list[n].Path) == string(p.Path) && list[n].First+list[n].Count == p.First {
		list[n].Count += p.Count
		return list
	}
	return append(list, p)
}

// Present reports whether a place is there and holds what it held when it was listed, as far as
// can be told without reading it: the size of a file, the From line of the first message of an mbox.
func (p *Place) Present() bool {
	if p.Err != "" {
		return false
	}
	f, err := os.Open(string(p.Path))
	if err != nil {
		return false
	}
	defer f.Close()
	if p.First == 0 {
		info, err := f.Stat()
		return err == nil && (p.Mark == "" || p.Mark == fmt.Sprint(info.Size()))
	}
	b := &mbox{file: f, size: p.Offset + streamBuffer}
	b.seek(p.Offset)
	line, _, err := b.line()
	return (err == nil || err == io.EOF) && strings.HasPrefix(string(line), fromLine) && markOf(fromText(line)) == p.Mark
}

// At yields the messages of places. There are as many as the places say: one that cannot be read
// has an error.
func (a *Archive) At(places []Place) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		a.large = largeBuffers()
		for i := range places {
			if !a.at(&places[i], yield) {
				return
			}
		}
	}
}

func (a *Archive) at(p *Place, yield func(Message) bool) bool {
	n, more := 0, true
	take := func(m Message) bool {
		n++
		more = yield(m)
		return more && n < p.Count
	}
	switch {
	case p.Err != "":
	case p.First > 0:
		a.inMbox(p, take)
	default:
		a.messages(file{path: string(p.Path), maildir: p.Maildir, regular: true}, take)
	}
	if !more {
		return false
	}
	seen := 0
	for name := range p.Names() { // those that did not come
		if seen++; seen <= n {
			continue
		}
		m := Message{Name: name, Err: ErrChanged}
		if p.Err != "" {
			m.Err = errors.New(p.Err)
		}
		if !yield(m) {
			return false
		}
	}
	return true
}

// inMbox reads messages from the middle of an mbox.
func (a *Archive) inMbox(p *Place, yield func(Message) bool) {
	if !p.Present() {
		return
	}
	r, err := os.Open(string(p.Path))
	if err != nil {
		return
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return
	}
	b := &mbox{name: string(p.Path), file: r, size: info.Size(), most: a.most(), count: p.First - 1}
	b.seek(0)
	first, _, _ := b.line()
	b.dated = !FromTime(first).IsZero()
	b.seek(p.Offset)
	b.from(yield)
}
