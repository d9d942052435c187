// Package journal keeps records on disk until a database has them. Writing costs one system
// call for many records; a power cut loses what came since the last fdatasync, a crash of the
// process nothing that was written. A folder belongs to one process at a time.
package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options bound a journal. Zero fields take the defaults.
type Options struct {
	MaxBytes     int64         // of all segments, 1 GiB
	SegmentBytes int64         // of one segment, 8 MiB
	Keep         time.Duration // how long a segment stays after it is released, 1 h
	Now          func() time.Time
}

// The defaults of Options, and the least MaxBytes.
const (
	DefaultMaxBytes     = 1 << 30
	DefaultSegmentBytes = 8 << 20
	DefaultKeep         = time.Hour
)

// MaxRecord bounds the data of one record, in octets.
const MaxRecord = 64 << 10

// A record is its length (4 octets, little endian, of kind and data), the CRC-32C of what
// follows, the kind (1 octet) and the data. A length of 0 ends what was written.
const headerBytes = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	suffix   = ".seg"
	ahead    = "next.new"
	lockName = "lock"
	endKind  = 0 // the journal was closed cleanly
)

// The errors of Append.
var (
	ErrFull = errors.New("the journal is full")
	ErrUsed = errors.New("another process uses this journal")
)

// Journal is the folder of one process. It is safe for concurrent use.
type Journal struct {
	dir  string
	o    Options
	lock *os.File

	mu       sync.Mutex
	segments []segment // oldest first; the last one is written to
	file     *os.File  // of the last segment
	begun    int64     // the first segment of this process, 0 while the disk is full
	size     int64     // octets written to it
	dirty    bool
}

// segment is one file. Its number grows, also when the folder was emptied.
type segment struct {
	n        int64
	size     int64 // of the file
	released time.Time
}

// Recovered says what the last process left behind.
type Recovered struct {
	Clean bool // it closed the journal, or there was none
}

// Open takes the folder, makes it if it does not exist, and begins a new segment. The error
// is ErrUsed while another process has the folder.
func Open(dir string, o Options) (j *Journal, r Recovered, err error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, r, err
	}
	j = &Journal{dir: dir, o: o}
	if j.lock, err = take(filepath.Join(dir, lockName)); err != nil {
		return nil, r, err
	}
	if err = j.list(); err == nil {
		r.Clean = j.endsCleanly()
		err = j.begin()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull) {
		err = nil // Append tries again
	}
	if err != nil {
		j.lock.Close()
		return nil, r, err
	}
	return j, r, nil
}

// take locks the folder for this process.
func take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrUsed)
	}
	return f, nil
}

func (j *Journal) path(n int64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%016x%s", n, suffix))
}

// list finds the segments that are there.
func (j *Journal) list() error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		n, err := strconv.ParseInt(digits, 16, 64)
		info, infoErr := e.Info()
		if !ok || err != nil || infoErr != nil || !info.Mode().IsRegular() {
			continue
		}
		j.segments = append(j.segments, segment{n: n, size: info.Size()})
	}
	slices.SortFunc(j.segments, func(a, b segment) int { return int(max(-1, min(1, a.n-b.n))) })
	return nil
}

// endsCleanly reports whether the last segment was closed.
func (j *Journal) endsCleanly() bool {
	if len(j.segments) == 0 {
		return true
	}
	last := j.segments[len(j.segments)-1]
	data, err := os.ReadFile(j.path(last.n))
	if err != nil {
		return false
	}
	kind, at := -1, 0
	for {
		r, n := parse(data[at:])
		if n == 0 || r.damaged {
			return kind == endKind
		}
		kind, at = int(r.Kind), at+n
	}
}

// begin makes a new segment. Its number is the time, so that it is above those of a folder
// that was lost. mu is held, or the journal not yet shared.
func (j *Journal) begin() error {
	n := j.o.Now().UnixMilli()
	if len(j.segments) > 0 {
		n = max(n, j.segments[len(j.segments)-1].n+1)
	}
	j.expire()
	if j.total()+j.o.SegmentBytes > j.o.MaxBytes {
		j.expireReleased()
	}
	if j.total()+j.o.SegmentBytes > j.o.MaxBytes {
		return ErrFull
	}
	next := filepath.Join(j.dir, ahead)
	if err := reserve(next, j.o.SegmentBytes); err != nil {
		return err
	}
	if err := os.Rename(next, j.path(n)); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(n), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if j.file != nil {
		sync1(j.file)
		j.file.Close()
	}
	syncDir(j.dir)
	j.file, j.size = f, 0
	if j.begun == 0 {
		j.begun = n
	}
	j.segments = append(j.segments, segment{n: n, size: j.o.SegmentBytes})
	reserve(next, j.o.SegmentBytes) // one ahead, if there is room
	return nil
}

// Ahead reports whether pos is after everything that this journal will write, and where what
// this process writes begins. That happens when the folder was emptied, or its last segment
// lost in a power cut, while the clock was behind: nothing would ever be read.
func (j *Journal) Ahead(pos Position) (begin Position, ahead bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.begun == 0 || len(j.segments) == 0 {
		return begin, false
	}
	return Position{Segment: j.begun}, pos.Segment > j.segments[len(j.segments)-1].n
}

// syncDir brings the names of a folder to the disk. Where that is not possible, a power cut may
// lose the newest segment, as it loses what was not synced.
func syncDir(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}

// reserve makes a file whose octets are there, unless it exists.
func reserve(path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	err = errors.Join(allocate(f, size), f.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

func (j *Journal) total() (n int64) {
	for _, s := range j.segments {
		n += s.size
	}
	return n
}

// expire removes released segments after Keep; expireReleased all of them.
func (j *Journal) expire() { j.remove(j.o.Keep) }

func (j *Journal) expireReleased() { j.remove(0) }

func (j *Journal) remove(keep time.Duration) {
	now := j.o.Now()
	j.segments = slices.DeleteFunc(j.segments, func(s segment) bool {
		return !s.released.IsZero() && now.Sub(s.released) >= keep && os.Remove(j.path(s.n)) == nil
	})
}

// Append writes records. The error is ErrFull, or that of the disk, and then none of them is
// written.
func (j *Journal) Append(records ...Record) error {
	size := 0
	for _, r := range records {
		if len(r.Data) > MaxRecord {
			return fmt.Errorf("a record of %d octets is too large", len(r.Data))
		}
		size += headerBytes + 1 + len(r.Data)
	}
	buf := make([]byte, 0, size)
	for _, r := range records {
		buf = r.append(buf)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil || j.size+int64(len(buf))+headerBytes > j.o.SegmentBytes {
		if int64(len(buf))+headerBytes > j.o.SegmentBytes {
			return fmt.Errorf("%d octets do not fit into a segment", len(buf))
		}
		if err := j.begin(); err != nil {
			return err
		}
	}
	n, err := j.file.WriteAt(buf, j.size)
	if err != nil || n < len(buf) {
		// What is written in part is not read: the next record is written over it.
		j.file.WriteAt(make([]byte, min(n, headerBytes)), j.size)
		return errors.Join(err, errShort(n, len(buf)))
	}
	j.size += int64(len(buf))
	j.dirty = true
	return nil
}

func errShort(n, want int) error {
	if n < want {
		return fmt.Errorf("%d of %d octets were written", n, want)
	}
	return nil
}

// Sync brings what was appended to the disk.
func (j *Journal) Sync() error {
	j.mu.Lock()
	f, dirty := j.file, j.dirty
	j.dirty = false
	j.mu.Unlock()
	if !dirty || f == nil {
		return nil
	}
	err := sync1(f)
	if err == nil || errors.Is(err, os.ErrClosed) { // a segment that ended was synced
		return nil
	}
	j.mu.Lock()
	j.dirty = true
	j.mu.Unlock()
	return err
}

// Close writes that the journal ended, and gives the folder free.
func (j *Journal) Close() error {
	err := j.Append(Record{Kind: endKind})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		err = errors.Join(err, sync1(j.file), j.file.Close())
		j.file = nil
	}
	return errors.Join(err, j.lock.Close())
}

// Stats returns the octets that are not released, up to pos in the segment that is read.
func (j *Journal) Stats(pos Position) (pending int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.segments {
		size := s.size
		if i == len(j.segments)-1 {
			size = j.size
		}
		switch {
		case s.n == pos.Segment:
			pending += max(0, size-pos.Offset)
		case s.n > pos.Segment:
			pending += size
		}
	}
	return pending
}
