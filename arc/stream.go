package arc

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

func (x *Validation) own() *text {
	if x.text == nil {
		x.text = new(text)
	}
	return x.text
}

// Field implements message.Sink: a key is asked for as the field that needs it arrives. The error is a
// *message.LimitError for a field over the default limits, or for a call after EndHeader.
func (x *Validation) Field(f message.Field) error {
	if x.headerEnd {
		return errors.New("arc: Field after EndHeader")
	}
	h := &x.own().header
	if reason := (message.Limits{}).Check(h, f); reason != "" {
		return &message.LimitError{Reason: reason}
	}
	h.Add(f)
	x.field(f)
	return nil
}

// EndHeader implements message.Sink: it checks the structure of the chain. The error is for a
// second call.
func (x *Validation) EndHeader() error {
	if x.headerEnd {
		return errors.New("arc: EndHeader twice")
	}
	t := x.own()
	x.endHeader(shared.Section{Header: &t.header, Bodies: &t.bodies})
	return nil
}

// Write implements message.Sink: p is the next piece of the body, with CRLF line endings. The
// error is for a call before EndHeader or after Finish.
func (x *Validation) Write(p []byte) (int, error) {
	if x.text == nil || !x.headerEnd || x.finished != nil {
		return 0, errors.New("arc: Write before EndHeader or after Finish")
	}
	return x.text.bodies.Write(p)
}

// Finish ends the message and validates the chain (RFC 8617 §5.2). It waits for the keys.
func (x *Validation) Finish() Result {
	if x.finished == nil {
		if !x.headerEnd {
			_ = x.EndHeader()
		}
		r := x.finish()
		x.finished = &r
	}
	return *x.finished
}

// Verify validates the chain of a whole message with CRLF line endings. The error is that of r
// or ctx, a *message.LimitError, or says what is missing.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) (Result, error) {
	switch {
	case v == nil || v.Resolver == nil:
		return Result{}, fmt.Errorf("arc: %w", shared.ErrNoResolver)
	case r == nil:
		return Result{}, errors.New("arc: the reader is nil")
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	}
	x := v.Begin(ctx)
	if err := message.Stream(x, r, message.Limits{}); err != nil {
		return Result{Code: Fail, Reason: Malformed}, err
	}
	result := x.Finish()
	if err := ctx.Err(); err != nil && result.Code == Fail {
		return Result{}, err // keys that were not looked up are not unusable
	}
	return result, nil
}

// driven is a Validation in the hands of package postseal.
type driven struct{ x *Validation }

func (d driven) Field(f message.Field)      { d.x.field(f) }
func (d driven) EndHeader(s shared.Section) { d.x.endHeader(s) }
func (d driven) AppendDigests(dst []canonical.Digest) []canonical.Digest {
	return d.x.appendDigests(dst)
}

func init() {
	shared.ARC = func(s message.Sink) shared.Verifying { return driven{s.(*Validation)} }
}
