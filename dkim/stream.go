package dkim

import (
	"context"
	"io"

	"postseal/internal/core/canonical"
	"postseal/internal/core/shared"
	"postseal/message"
)

// Field implements message.Sink: the key of a signature is asked for at once. The error is a
// *message.LimitError for a field over the default limits, or for a call after EndHeader.
func (x *Verification) Field(f message.Field) error { return x.sink().Field(f) }

// EndHeader implements message.Sink: it chooses the signatures to evaluate, those of the
// author's organization first. The error is for a second call.
func (x *Verification) EndHeader() error { return x.sink().EndHeader() }

// Write implements message.Sink: p is the next piece of the body, with CRLF line endings. The
// error is for a call before EndHeader or after Finish.
func (x *Verification) Write(p []byte) (int, error) { return x.sink().Write(p) }

func (x *Verification) sink() *shared.Sink {
	if x.own == nil {
		x.ready()
		x.own = shared.NewSink("dkim", driven{x})
	}
	return x.own
}

// ready makes a zero x that of a Verifier without a Resolver.
func (x *Verification) ready() {
	if x.v.Resolver == nil {
		*x = *new(Verifier).Begin(context.Background())
	}
}

// Finish ends the message and returns the result for each signature, in the order of the
// header section. It waits for the keys.
func (x *Verification) Finish() []Result {
	x.ready()
	if x.finished == nil {
		if x.bodies == nil { // the header section has not ended
			_ = x.EndHeader()
		}
		if x.own != nil {
			x.own.Close()
		}
		x.finished = x.finish()
	}
	return x.finished
}

// Verify verifies a whole message with CRLF line endings. The error is that of r or ctx, a
// *message.LimitError, or says what is missing.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) ([]Result, error) {
	x := v.Begin(ctx)
	ctx = x.ctx
	if err := shared.Ready(ctx, "dkim", x.v.Resolver, r); err != nil {
		return nil, err
	}
	if err := message.Stream(x, r, message.Limits{}); err != nil {
		return nil, err
	}
	return x.Finish(), nil
}

// driven is a Verification in the hands of package postseal, or of a shared.Sink.
type driven struct{ x *Verification }

func (d driven) Field(f message.Field)      { d.x.field(f) }
func (d driven) EndHeader(s shared.Section) { d.x.endHeader(s) }
func (d driven) AppendDigests(dst []canonical.Digest) []canonical.Digest {
	return d.x.appendDigests(dst)
}

func init() {
	shared.DKIM = func(s message.Sink) shared.Verifying { return driven{s.(*Verification)} }
}
