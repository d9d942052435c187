package listener

import (
	"bytes"
	"io"
	"sync/atomic"

	"postseal"
	"postseal/dkim"
)

// Bounds of bodies that are kept to find out why a signature broke. A larger one is only hashed.
const (
	maxBody   = 256 << 10 // octets of one body
	maxBodies = 8 << 20   // octets of all bodies at a time
)

// Bodies keeps the bodies of signed messages until their verdict, and of those that are not accepted
// with a broken signature until that is explained. It is safe for concurrent use.
type Bodies struct{ held atomic.Int64 }

// Body is the body of one message as it was received. All methods do nothing on a nil Body.
type Body struct {
	of   *Bodies
	text bytes.Buffer
	over bool
}

// Begin begins a body; nil keeps none.
func (b *Bodies) Begin() *Body {
	if b == nil {
		return nil
	}
	return &Body{of: b}
}

// Write implements io.Writer. It never fails: a body that grows over its bound is dropped.
func (b *Body) Write(p []byte) (int, error) {
	switch {
	case b == nil || b.over || len(p) == 0:
	case b.text.Len()+len(p) > maxBody, b.of.held.Add(int64(len(p))) > maxBodies:
		if b.text.Len()+len(p) <= maxBody {
			b.of.held.Add(-int64(len(p)))
		}
		b.Release()
		b.over = true
	default:
		b.text.Write(p)
	}
	return len(p), nil
}

// AfterHeader returns a writer of a whole message with CRLF that keeps its body in b.
func (b *Body) AfterHeader() io.Writer { return &afterHeader{body: b, seen: len("\r\n")} } // the header section may be empty

// afterHeader drops the header section of a message.
type afterHeader struct {
	body *Body
	seen int // octets of endOfHeader
}

const endOfHeader = "\r\n\r\n"

// Write implements io.Writer. It never fails.
func (a *afterHeader) Write(p []byte) (int, error) {
	i := 0
	for ; i < len(p) && a.seen < len(endOfHeader); i++ {
		switch p[i] {
		case endOfHeader[a.seen]:
			a.seen++
		case endOfHeader[0]:
			a.seen = 1
		default:
			a.seen = 0
		}
	}
	a.body.Write(p[i:]) //nolint:errcheck // it never fails
	return len(p), nil
}

// Bytes returns the body, nil if it is not known.
func (b *Body) Bytes() []byte {
	if b == nil || b.over {
		return nil
	}
	return b.text.Bytes()
}

// Release gives the memory back.
func (b *Body) Release() {
	if b == nil {
		return
	}
	b.of.held.Add(-int64(b.text.Len()))
	b.text = bytes.Buffer{}
	b.over = true
}

// Explain returns b if it can explain why a signature of r broke, and r is not accepted. Otherwise it
// releases b and returns nil.
func (b *Body) Explain(r *postseal.Report) *Body {
	if b == nil || !b.over && Unexplained(r) {
		return b
	}
	b.Release()
	return nil
}

// Unexplained reports whether a message is not accepted and has a signature that broke after it was
// made.
func Unexplained(r *postseal.Report) bool {
	if d := &r.Decision; d.Action == postseal.Accept && d.Applied == postseal.Accept {
		return false
	}
	for i := range r.DKIM {
		switch r.DKIM[i].Reason {
		case dkim.BodyHashMismatch, dkim.SignatureMismatch, dkim.LimitBeyondBody:
			return true
		}
	}
	return false
}
