// Package shared lets package postseal verify DKIM and ARC over one header section and one
// set of body hashes, and with the digests of an earlier verification. Programs outside the
// module stream a message to each verifier, as a message.Sink, and need none of this.
//
// DKIM and ARC are set by packages dkim and arc when they are initialized, as log does for
// log/slog: the types below stay out of what they export.
package shared

import (
	"context"
	"errors"

	"postseal/domain"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/message"
	"postseal/resolver"
)

// Section is a header section that has ended, and what is known with it.
type Section struct {
	Header  *message.Header   // the fields that Field was called with
	Bodies  *bodyhash.Set     // takes the body; the verifier asks it for the hashes it needs
	Authors []domain.Name     // the Author Domains, whose signatures come first
	Digests canonical.Digests // of an earlier verification, in place of the text; nil without one
}

// Verifying is the work on one message, as package postseal drives it: Field for each field,
// EndHeader, the body into Section.Bodies; the result comes from the work itself.
type Verifying interface {
	Field(f message.Field)
	EndHeader(s Section)
	// AppendDigests appends the digest of each signature that was evaluated to dst.
	AppendDigests(dst []canonical.Digest) []canonical.Digest
}

// DKIM takes a *dkim.Verification, ARC an *arc.Validation, on which nothing was called yet.
var DKIM, ARC func(message.Sink) Verifying

// ErrNoResolver is for a verifier without a Resolver.
var ErrNoResolver = errors.New("Verifier.Resolver is missing: use resolver/stub, or resolver/dnstest in tests")

// Resolver returns r, or a Resolver whose every lookup fails in place of nil or a nil pointer: what a
// caller forgot is unknown, not absent.
func Resolver(r resolver.Resolver) resolver.Resolver {
	if Absent(r) {
		return missing{}
	}
	return r
}

type missing struct{}

func (missing) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Missing, Err: ErrNoResolver}
}
