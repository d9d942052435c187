package signature

import (
	"crypto/sha256"

	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/message"
)

// HeaderDigest hashes the signed fields, then the signature itself, own, without its b=
// value and without a last CRLF (RFC 6376 §3.7). fields must not hand out own.
func (s *Field) HeaderDigest(fields *canonical.Selection, own message.Field) [sha256.Size]byte {
	buf := make([]byte, 0, 1<<10)
	for _, name := range s.Names {
		if f, ok := fields.Next(name); ok { // a name without a field is the null string (RFC 6376 §5.4)
			buf = s.appendField(buf, f)
		}
	}
	buf = s.appendField(buf, canonical.WithoutTag(own, "b"))
	return sha256.Sum256(buf[:len(buf)-2])
}

// appendField appends the canonical form of f.
func (s *Field) appendField(dst []byte, f message.Field) []byte {
	if s.HeaderCanonical == bodyhash.Relaxed {
		return canonical.Relaxed(dst, f)
	}
	return canonical.Simple(dst, f)
}
