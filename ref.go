package postseal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
)

// crockford has no letters that are mistaken for digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// makeRef derives the short reference of a verdict from its envelope, clock and header,
// so that the same evidence has the same reference. Eight characters, 40 bits. The header
// only has to tell messages of one envelope and moment apart: a checksum of it does.
func makeRef(r *Report) string {
	buf := make([]byte, 0, 512)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Time.UnixNano()))
	buf = r.Conn.Remote.AppendTo(buf)
	for _, s := range [...]string{"", r.Helo, r.ReversePath} {
		buf = append(append(buf, 0), s...)
	}
	sum := uint32(0)
	for i := range r.Header.Len() {
		raw := r.Header.At(i).Raw
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(raw)))
		sum = crc32.Update(sum, castagnoli, raw)
	}
	digest := sha256.Sum256(binary.BigEndian.AppendUint32(buf, sum))
	return string(crockford.AppendEncode(buf[:0], digest[:5]))
}
