package mailbox

import (
	"errors"

	"postseal/message"
)

// ErrHeaderEnd is returned by a HeaderSink at the end of the header section.
var ErrHeaderEnd = errors.New("the header section has been read")

// HeaderSink is a message.Sink that keeps the header section and then stops the message with
// ErrHeaderEnd.
type HeaderSink struct{ Header *message.Header }

// Field implements message.Sink.
func (s HeaderSink) Field(f message.Field) error { s.Header.Add(f); return nil }

// EndHeader implements message.Sink.
func (s HeaderSink) EndHeader() error { return ErrHeaderEnd }

// Write implements message.Sink.
func (s HeaderSink) Write([]byte) (int, error) { return 0, ErrHeaderEnd }
