package dkim

import (
	"context"
	"errors"
	"fmt"
	"io"

	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/internal/core/shared"
	"postseal/message"
)

// text is what a Sink has taken of a message.
type text struct {
	header message.Header
	bodies bodyhash.Set
}

func (x *Verification) own() *text {
	if x.text == nil {
		x.text = new(text)
	}
	return x.text
}

// Field implements message.Sink: the key of a signature is asked for at once. The error is a
// *message.LimitError for a field over the default limits, or for a call after EndHeader.
func (x *Verification) Field(f message.Field) error {
	if x.headerEnd {
		return errors.New("dkim: Field after EndHeader")
	}
	h := &x.own().header
	if reason := (message.Limits{}).Check(h, f); reason != "" {
		return &message.LimitError{Reason: reason}
	}
	h.Add(f)
	x.field(f)
	return nil
}

// EndHeader implements message.Sink: it chooses the signatures to evaluate, those of the
// author's organization first. The error is for a second call.
func (x *Verification) EndHeader() error {
	if x.headerEnd {
		return errors.New("dkim: EndHeader twice")
	}
	t := x.own()
	x.endHeader(shared.Section{Header: &t.header, Bodies: &t.bodies, Authors: message.FindAuthor(&t.header).Domains})
	return nil
}

// Write implements message.Sink: p is the next piece of the body, with CRLF line endings. The
// error is for a call before EndHeader or after Finish.
func (x *Verification) Write(p []byte) (int, error) {
	if x.text == nil || !x.headerEnd || x.finished != nil {
		return 0, errors.New("dkim: Write before EndHeader or after Finish")
	}
	return x.text.bodies.Write(p)
}

// Finish ends the message and returns the result for each signature, in the order of the
// header section. It waits for the keys.
func (x *Verification) Finish() []Result {
	if x.finished == nil {
		if !x.headerEnd {
			_ = x.EndHeader()
		}
		x.finished = x.finish()
	}
	return x.finished
}

// Verify verifies a whole message with CRLF line endings. The error is that of r or ctx, a
// *message.LimitError, or says what is missing.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) ([]Result, error) {
	switch {
	case v == nil || v.Resolver == nil:
		return nil, fmt.Errorf("dkim: %w", shared.ErrNoResolver)
	case r == nil:
		return nil, errors.New("dkim: the reader is nil")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	x := v.Begin(ctx)
	if err := message.Stream(x, r, message.Limits{}); err != nil {
		return nil, err
	}
	return x.Finish(), nil
}

// driven is a Verification in the hands of package postseal.
type driven struct{ x *Verification }

func (d driven) Field(f message.Field)      { d.x.field(f) }
func (d driven) EndHeader(s shared.Section) { d.x.endHeader(s) }
func (d driven) AppendDigests(dst []canonical.Digest) []canonical.Digest {
	return d.x.appendDigests(dst)
}

func init() {
	shared.DKIM = func(s message.Sink) shared.Verifying { return driven{s.(*Verification)} }
}
