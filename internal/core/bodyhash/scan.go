package bodyhash

import (
	"encoding/binary"
	"math/bits"
)

// scan returns the index of the first octet of p that relaxed canonicalization may change: a
// tab, a space before another space or a CR, a CR that is not before an LF. What comes after
// the last octet is not known, so that one is never judged. It is len(p) or less by at most one
// when there is none (RFC 6376 §3.4.4).
func scan(p []byte) int {
	i := scanWide(p)
	for ; i+1 < len(p); i++ {
		switch c, next := p[i], p[i+1]; {
		case c > ' ':
		case c == '\t', c == ' ' && (next == ' ' || next == '\r'), c == '\r' && next != '\n':
			return i
		}
	}
	return i
}

const (
	ones   = 0x0101010101010101
	tabs   = '\t' * ones
	spaces = ' ' * ones
	crs    = '\r' * ones
	lfs    = '\n' * ones
	sevens = 0x7f * ones
)

// scanWords looks at eight octets at a time. It returns a position before which there is
// nothing to find, and that of the first find when it saw one.
func scanWords(p []byte) int {
	i := 0
	for ; i+9 <= len(p); i += 8 {
		x, next := binary.LittleEndian.Uint64(p[i:]), binary.LittleEndian.Uint64(p[i+1:])
		found := zeros(x^tabs) | zeros(x^spaces)&(zeros(next^spaces)|zeros(next^crs)) | zeros(x^crs)&^zeros(next^lfs)
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	return i
}

// zeros sets the high bit of each octet of the result whose octet in v is zero.
func zeros(v uint64) uint64 { return ^((v&sevens + sevens) | v | sevens) }
