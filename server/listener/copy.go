package listener

import (
	"bytes"
	"sync/atomic"
)

// Bounds of copies. A message over them is delivered as any other, and not copied.
const (
	maxCopy   = 16 << 20 // octets of one message
	maxCopies = 64 << 20 // octets of all copies at a time
)

// Copies keeps copies of messages that the daemon reads itself: reports of others and bounces
// of its own. It is safe for concurrent use.
type Copies struct {
	// Wanted reports whether a message to these recipients is read. It must not block.
	Wanted func(s *Snapshot, recipients []string) bool
	// Take gets each message that was accepted with its copy, and must Release the copy. It
	// must not block.
	Take func(Verdict, *Copy)

	held atomic.Int64
}

// Copy is the copy of one message. All methods do nothing on a nil Copy.
type Copy struct {
	To   []string // the recipients of the message
	of   *Copies
	text bytes.Buffer
	over bool
}

// Begin begins the copy of a message, nil if it is not wanted.
func (c *Copies) Begin(s *Snapshot, recipients []string) *Copy {
	if c == nil || c.Wanted == nil || !c.Wanted(s, recipients) {
		return nil
	}
	return &Copy{of: c, To: recipients}
}

// Write implements io.Writer. It never fails: a copy that grows over its bound is dropped.
func (c *Copy) Write(p []byte) (int, error) {
	if c == nil || c.over {
		return len(p), nil
	}
	if c.text.Len()+len(p) > maxCopy || !c.of.reserve(len(p)) {
		c.Release()
		c.over = true
		return len(p), nil
	}
	c.text.Write(p)
	return len(p), nil
}

// reserve counts octets of a copy, if there is room for them.
func (c *Copies) reserve(octets int) bool {
	if c.held.Add(int64(octets)) > maxCopies {
		c.held.Add(-int64(octets))
		return false
	}
	return true
}

// Bytes returns the message, nil if it was too large.
func (c *Copy) Bytes() []byte {
	if c == nil || c.over {
		return nil
	}
	return c.text.Bytes()
}

// Release gives the memory back.
func (c *Copy) Release() {
	if c == nil {
		return
	}
	c.of.held.Add(-int64(c.text.Len()))
	c.text = bytes.Buffer{}
}

// End hands the copy of an accepted message over, and releases that of any other.
func (c *Copy) End(v Verdict, accepted bool) {
	switch {
	case c == nil:
	case !accepted || c.of.Take == nil:
		c.Release()
	default:
		c.of.Take(v, c)
	}
}
