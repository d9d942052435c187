package postseal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
)

// crockford has no letters that are mistaken for digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// makeRef derives the short reference of a verdict from its envelope, clock and header,
// so that the same evidence has the same reference. Eight characters, 40 bits.
func makeRef(r *Report) string {
	h := sha256.New()
	var clock [8]byte
	binary.BigEndian.PutUint64(clock[:], uint64(r.Time.UnixNano()))
	h.Write(clock[:])
	writeString(h, r.Conn.Remote.String())
	writeString(h, r.Helo)
	writeString(h, r.ReversePath)
	for i := range r.header.Len() {
		h.Write(r.header.At(i).Raw)
		h.Write([]byte{'\n'})
	}
	var sum [sha256.Size]byte
	return crockford.EncodeToString(h.Sum(sum[:0])[:5])
}

func writeString(h hash.Hash, s string) {
	h.Write([]byte(s))
	h.Write([]byte{0})
}
