package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// Record is one entry. Kind 0 is the journal's own.
type Record struct {
	Kind    byte
	Data    []byte
	End     Position // where the next one begins; set by Read
	damaged bool
}

// Position is a place in a journal. The zero Position is its beginning.
type Position struct {
	Segment int64
	Offset  int64
}

func (r Record) append(buf []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, uint32(1+len(r.Data)))
	at := len(buf)
	buf = append(buf, 0, 0, 0, 0, r.Kind)
	buf = append(buf, r.Data...)
	binary.LittleEndian.PutUint32(buf[at:], checksum(buf[at-4:at], buf[at+4:]))
	return buf
}

// checksum covers the length too, so that a damaged one is noticed.
func checksum(length, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, data)
}

// parse reads the record at the start of data, and returns the octets that it takes: 0 when
// there is none. A record whose length can be believed and whose content cannot is damaged.
func parse(data []byte) (r Record, n int) {
	if len(data) < headerBytes {
		return r, 0
	}
	length := int(binary.LittleEndian.Uint32(data))
	if length == 0 {
		return r, 0
	}
	if length > 1+MaxRecord || headerBytes+length > len(data) {
		return Record{damaged: true}, len(data)
	}
	body := data[headerBytes : headerBytes+length]
	if binary.LittleEndian.Uint32(data[4:]) != checksum(data[:4], body) {
		return Record{damaged: true}, headerBytes + length
	}
	return Record{Kind: body[0], Data: body[1:]}, headerBytes + length
}

// Batch is what Read found.
type Batch struct {
	Records []Record
	End     Position // where the next Read continues
	// Damaged counts records that cannot be read. Gone reports that the segment of the position
	// is not there, and reading continued with the next one.
	Damaged int
	Gone    bool
}

// readBytes bounds what one Read takes from a file.
const readBytes = 1 << 20

// Read returns at most most records from pos on. It never waits: an empty batch whose End is
// pos is the end of what was written.
func (j *Journal) Read(pos Position, most int) (b Batch, err error) {
	b.End = pos
	for {
		n, limit, current, found := j.find(b.End.Segment)
		if !found {
			return b, nil
		}
		if n != b.End.Segment {
			b.Gone = b.Gone || b.End.Segment != 0 && b.End == pos && b.End.Offset > 0
			b.End = Position{Segment: n}
		}
		ended, err := j.readSegment(&b, limit, most)
		if err != nil || len(b.Records) > 0 || !ended {
			return b, err
		}
		if current {
			return b, nil
		}
		b.End = Position{Segment: n + 1}
	}
}

// find returns the first segment from n on, with the octets of it that are written.
func (j *Journal) find(n int64) (segment, limit int64, current, found bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.segments {
		if s.n < n {
			continue
		}
		if i == len(j.segments)-1 && j.file != nil {
			return s.n, j.size, true, true
		}
		return s.n, s.size, i == len(j.segments)-1, true
	}
	return 0, 0, false, false
}

// readSegment adds records to b, and reports whether the segment has no more.
func (j *Journal) readSegment(b *Batch, limit int64, most int) (ended bool, err error) {
	size := min(limit-b.End.Offset, readBytes)
	if size <= 0 {
		return true, nil
	}
	f, err := os.Open(j.path(b.End.Segment))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	data := make([]byte, size)
	got, err := f.ReadAt(data, b.End.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	data = data[:got]
	more := b.End.Offset+int64(got) < limit // a record may be cut where we stopped reading
	for len(b.Records) < most {
		r, n := parse(data)
		switch {
		case n == 0 && len(data) >= headerBytes:
			return true, nil // a length of 0
		case n == 0 || r.damaged && n == len(data):
			if more && len(data) < headerBytes+1+MaxRecord {
				return false, nil // the next Read has all of it
			}
			if r.damaged { // nothing tells where the next record begins
				b.Damaged++
			}
			b.End.Offset = limit
			return true, nil
		}
		b.End.Offset += int64(n)
		data = data[n:]
		switch {
		case r.damaged:
			b.Damaged++
		case r.Kind != endKind:
			r.End = b.End
			b.Records = append(b.Records, r)
		}
	}
	return false, nil
}

// Release says that everything before pos is in the database. A segment goes after Keep.
func (j *Journal) Release(pos Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.o.Now()
	for i := range j.segments {
		s := &j.segments[i]
		if s.n < pos.Segment && s.released.IsZero() && i < len(j.segments)-1 {
			s.released = now
		}
	}
	j.expire()
}
