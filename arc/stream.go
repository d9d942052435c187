package arc

import (
	"context"
	"io"

	"postseal/internal/core/canonical"
	"postseal/internal/core/shared"
	"postseal/message"
)

// Field implements message.Sink: a key is asked for as the field that needs it arrives. The error is a
// *message.LimitError for a field over the default limits, or for a call after EndHeader.
func (x *Validation) Field(f message.Field) error { return x.sink().Field(f) }

// EndHeader implements message.Sink: it checks the structure of the chain. The error is for a
// second call.
func (x *Validation) EndHeader() error { return x.sink().EndHeader() }

// Write implements message.Sink: p is the next piece of the body, with CRLF line endings. The
// error is for a call before EndHeader or after Finish.
func (x *Validation) Write(p []byte) (int, error) { return x.sink().Write(p) }

func (x *Validation) sink() *shared.Sink {
	if x.own == nil {
		x.ready()
		x.own = shared.NewSink("arc", driven{x})
	}
	return x.own
}

// ready makes a zero x that of a Verifier without a Resolver.
func (x *Validation) ready() {
	if x.v.Resolver == nil {
		*x = *new(Verifier).Begin(context.Background())
	}
}

// Finish ends the message and validates the chain (RFC 8617 §5.2). It waits for the keys.
func (x *Validation) Finish() Result {
	x.ready()
	if x.finished == nil {
		if x.bodies == nil { // the header section has not ended
			_ = x.EndHeader()
		}
		if x.own != nil {
			x.own.Close()
		}
		r := x.finish()
		x.finished = &r
	}
	return *x.finished
}

// Verify validates the chain of a whole message with CRLF line endings. The error is that of r
// or ctx, a *message.LimitError, or says what is missing.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) (Result, error) {
	x := v.Begin(ctx)
	ctx = x.ctx
	if err := shared.Ready(ctx, "arc", x.v.Resolver, r); err != nil {
		return Result{}, err
	}
	if err := message.Stream(x, r, message.Limits{}); err != nil {
		return Result{Code: Fail, Reason: Malformed}, err
	}
	result := x.Finish()
	if err := ctx.Err(); err != nil && result.Code == Fail {
		return Result{}, err // keys that were not looked up are not unusable
	}
	return result, nil
}

// driven is a Validation in the hands of package postseal, or of a shared.Sink.
type driven struct{ x *Validation }

func (d driven) Field(f message.Field)      { d.x.field(f) }
func (d driven) EndHeader(s shared.Section) { d.x.endHeader(s) }
func (d driven) AppendDigests(dst []canonical.Digest) []canonical.Digest {
	return d.x.appendDigests(dst)
}

func init() {
	shared.ARC = func(s message.Sink) shared.Verifying { return driven{s.(*Validation)} }
}
