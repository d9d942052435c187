package report

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
)

// The signatures and fixed sizes of a zip archive's parts (APPNOTE.TXT 4.3).
const (
	zipLocal, zipLocalSize     = 0x04034b50, 30
	zipCentral, zipCentralSize = 0x02014b50, 46
	zipEnd, zipEndSize         = 0x06054b50, 22
	zipDescriptor              = 0x08074b50
	zipDescribed               = 1 << 3 // flag: sizes and checksum follow the octets of the file
)

// zipIndex makes the index of an archive that has lost its own, from the headers of at most most files. It ends at
// the first file that is not whole, and is nil if that is the first of all. The files may have left octets when
// unpacked.
func zipIndex(archive io.ReaderAt, size int64, most int, left int64) []byte {
	var index []byte
	files, offset := 0, int64(0)
	for ; files < most; files++ {
		entry, next := zipEntry(archive, offset, size, &left)
		if entry == nil {
			break
		}
		index, offset = append(index, entry...), next
	}
	if files == 0 {
		return nil
	}
	end := make([]byte, zipEndSize)
	le := binary.LittleEndian
	le.PutUint32(end, zipEnd)
	le.PutUint16(end[8:], uint16(files))
	le.PutUint16(end[10:], uint16(files))
	le.PutUint32(end[12:], uint32(len(index)))
	le.PutUint32(end[16:], uint32(size))
	return append(index, end...)
}

// zipEntry returns the entry of the index for the file whose header is at offset, and where that file ends. It is
// nil if there is no whole file.
func zipEntry(archive io.ReaderAt, offset, size int64, left *int64) (entry []byte, next int64) {
	var header [zipLocalSize]byte
	le := binary.LittleEndian
	if _, err := archive.ReadAt(header[:], offset); err != nil || le.Uint32(header[:]) != zipLocal || size > 1<<31 {
		return nil, 0
	}
	name := make([]byte, le.Uint16(header[26:]))
	data := offset + zipLocalSize + int64(len(name)) + int64(le.Uint16(header[28:]))
	if _, err := archive.ReadAt(name, offset+zipLocalSize); err != nil {
		return nil, 0
	}
	sums := header[14:26] // checksum, packed and unpacked size
	next = data + int64(le.Uint32(sums[4:]))
	if le.Uint16(header[6:])&zipDescribed != 0 {
		if le.Uint16(header[8:]) != 8 { // only a deflated file says where it ends
			return nil, 0
		}
		if sums, next = zipSums(archive, data, size, left); sums == nil {
			return nil, 0
		}
	}
	if next > size {
		return nil, 0
	}
	entry = make([]byte, zipCentralSize, zipCentralSize+len(name))
	le.PutUint32(entry, zipCentral)
	copy(entry[6:16], header[4:14]) // version, flags, method, time and date
	copy(entry[16:28], sums)
	le.PutUint16(entry[28:], uint16(len(name)))
	le.PutUint32(entry[42:], uint32(offset))
	return append(entry, name...), next
}

// zipSums reads a deflated file and the descriptor after it, which has its checksum and sizes.
func zipSums(archive io.ReaderAt, data, size int64, left *int64) (sums []byte, next int64) {
	in := &octetCounter{in: io.NewSectionReader(archive, data, size-data)}
	n, err := io.Copy(io.Discard, io.LimitReader(flate.NewReader(in), *left))
	if *left -= n; err != nil || *left == 0 {
		return nil, 0
	}
	var descriptor [16]byte
	next = data + in.count
	if n, err := archive.ReadAt(descriptor[:], next); n < 12 && err != nil {
		return nil, 0
	}
	at := 0
	if binary.LittleEndian.Uint32(descriptor[:]) == zipDescriptor {
		at = 4
	}
	return descriptor[at : at+12], next + int64(at) + 12
}

// octetCounter counts the octets that were read. Since it is an io.ByteReader, flate reads none too many.
type octetCounter struct {
	in    io.Reader
	ahead bytes.Reader
	block [4096]byte
	count int64
}

// Read implements io.Reader.
func (c *octetCounter) Read(b []byte) (int, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	n, err := c.ahead.Read(b)
	c.count += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader.
func (c *octetCounter) ReadByte() (byte, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	c.count++
	return c.ahead.ReadByte()
}

func (c *octetCounter) fill() error {
	if c.ahead.Len() > 0 {
		return nil
	}
	n, err := io.ReadFull(c.in, c.block[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	c.ahead.Reset(c.block[:n])
	return err
}

// appended is an archive and, at its end, the index that was made for it.
type appended struct {
	archive io.ReaderAt
	size    int64
	index   []byte
}

// ReadAt implements io.ReaderAt.
func (a appended) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < a.size {
		n, err = a.archive.ReadAt(b[:min(int64(len(b)), a.size-offset)], offset)
		if n == len(b) || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
	}
	more, err := bytes.NewReader(a.index).ReadAt(b[n:], offset+int64(n)-a.size)
	return n + more, err
}
