package shared

import (
	"context"
	"errors"
	"fmt"
	"io"

	"postseal/internal/core/bodyhash"
	"postseal/message"
	"postseal/resolver"
)

// Sink takes a message as a message.Sink does, for work that package postseal does not drive.
type Sink struct {
	name   string // of the package, for errors
	work   Verifying
	header message.Header
	bodies bodyhash.Set
	ended  bool // the header section
	closed bool
}

// NewSink returns a Sink that drives work. name is that of the package of work.
func NewSink(name string, work Verifying) *Sink { return &Sink{name: name, work: work} }

func (s *Sink) misuse(what string) error { return errors.New(s.name + ": " + what) }

// Field takes the next header field. The error is a *message.LimitError for a field over the
// default limits, or for a call after EndHeader.
func (s *Sink) Field(f message.Field) error {
	if s.ended {
		return s.misuse("Field after EndHeader")
	}
	if reason := (message.Limits{}).Check(&s.header, f); reason != "" {
		return &message.LimitError{Reason: reason}
	}
	s.header.Add(f)
	s.work.Field(f)
	return nil
}

// EndHeader ends the header section. The error is for a second call.
func (s *Sink) EndHeader() error {
	if s.ended {
		return s.misuse("EndHeader twice")
	}
	s.ended = true
	s.work.EndHeader(Section{Header: &s.header, Bodies: &s.bodies, Authors: message.FindAuthor(&s.header).Domains})
	return nil
}

// Write takes the next piece of the body, with CRLF line endings. The error is for a call before
// EndHeader or after Close.
func (s *Sink) Write(p []byte) (int, error) {
	if !s.ended || s.closed {
		return 0, s.misuse("Write before EndHeader or after Finish")
	}
	return s.bodies.Write(p)
}

// Close ends the body.
func (s *Sink) Close() { s.closed = true }

// Ready returns what keeps the package of that name from verifying the message of r: dns stands for
// a missing Resolver, r is nil, or ctx has ended.
func Ready(ctx context.Context, name string, dns resolver.Resolver, r io.Reader) error {
	switch _, none := dns.(missing); {
	case none:
		return fmt.Errorf("%s: %w", name, ErrNoResolver)
	case Absent(r):
		return errors.New(name + ": the reader is nil")
	}
	return Context(ctx).Err()
}
