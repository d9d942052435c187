// Package bodyhash hashes the canonical form of a message body, once for all the
// signatures that want it, in one pass and without keeping the body (RFC 6376 §3.4).
package bodyhash

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// Canonicalization is a body canonicalization algorithm.
type Canonicalization uint8

// The algorithms of RFC 6376 §3.4.3 and §3.4.4.
const (
	Simple Canonicalization = iota
	Relaxed
)

// String is the word of the c= tag.
func (c Canonicalization) String() string {
	if c == Relaxed {
		return "relaxed"
	}
	return "simple"
}

// NoLimit stands for a signature without l=.
const NoLimit = -1

// Set is the body hashes that the signatures of one message ask for. Ask for all before
// the first Write. The zero value is ready to use.
type Set struct {
	streams [2]*stream // one per Canonicalization, nil if not requested
	wanted  []want
	assumed []Hash // instead of a body
	small   []byte // pieces that wait for more, at most gathered octets
	done    bool
}

// gathered: pieces below it are put together first, so that a body that comes octet by octet costs
// little more than any other, and not four times as much. For ordinary mail it changes nothing.
const gathered = 256

// Hash is the hash of the first Limit octets of one canonical form.
type Hash struct {
	Canonical Canonicalization
	Limit     int64 // NoLimit is all of it
	Sum       [sha256.Size]byte
	Inside    bool  // Limit is not beyond the canonical body
	Length    int64 // octets of the whole canonical body
}

// Assume makes hashes of an earlier Set stand for the body, which is then not written.
func (s *Set) Assume(hashes []Hash) { s.assumed = hashes }

// AppendHashes appends every hash that was asked for to dst, once the Set is closed.
func (s *Set) AppendHashes(dst []Hash) []Hash {
	for i, w := range s.wanted {
		sum, inside := s.Sum(i)
		dst = append(dst, Hash{w.canonical, w.limit, sum, inside, s.Length(i)})
	}
	return dst
}

// find returns what was assumed for w; nothing matches what was not.
func (s *Set) find(w want) Hash {
	for _, h := range s.assumed {
		if h.Canonical == w.canonical && h.Limit == w.limit {
			return h
		}
	}
	return Hash{}
}

type want struct {
	canonical Canonicalization
	limit     int64
}

// Request asks for the hash of the first limit octets of the canonical body, NoLimit for
// all of it, and returns its index. Equal requests share one index.
func (s *Set) Request(c Canonicalization, limit int64) int {
	for i, w := range s.wanted {
		if w.canonical == c && w.limit == limit {
			return i
		}
	}
	if s.streams[c] == nil {
		s.streams[c] = &stream{hash: sha256.New(), relaxed: c == Relaxed}
	}
	s.wanted = append(s.wanted, want{c, limit})
	if limit >= 0 {
		s.streams[c].addLimit(limit)
	}
	return len(s.wanted) - 1
}

// Write takes the next piece of the body. It never fails.
func (s *Set) Write(p []byte) (int, error) {
	if len(s.wanted) == 0 {
		return len(p), nil
	}
	if n := len(s.small); len(p) == 1 && n < cap(s.small) {
		s.small = s.small[:n+1]
		s.small[n] = p[0]
		return 1, nil
	}
	if len(s.small)+len(p) > gathered {
		s.write(s.small)
		s.small = s.small[:0]
	}
	if len(p) < gathered {
		s.small = append(s.small, p...)
	} else {
		s.write(p)
	}
	return len(p), nil
}

func (s *Set) write(p []byte) {
	for _, st := range s.streams {
		if st != nil {
			st.write(p)
		}
	}
}

// Close ends the body. Sum and Length are known after it.
func (s *Set) Close() {
	if s.done {
		return
	}
	s.done = true
	s.write(s.small)
	for _, st := range s.streams {
		if st != nil {
			st.close()
		}
	}
}

// Sum returns hash i. ok is false when its limit is beyond the canonical body, whose
// hash is then undefined (RFC 6376 §3.5 l=).
func (s *Set) Sum(i int) (sum [sha256.Size]byte, ok bool) {
	w := s.wanted[i]
	if s.assumed != nil {
		h := s.find(w)
		return h.Sum, h.Inside
	}
	return s.streams[w.canonical].sum(w.limit)
}

// Length returns the octets of the whole canonical body that hash i belongs to.
func (s *Set) Length(i int) int64 {
	if s.assumed != nil {
		return s.find(s.wanted[i]).Length
	}
	return s.streams[s.wanted[i].canonical].length
}

// snapshot is the hash of a prefix.
type snapshot struct {
	limit int64
	sum   [sha256.Size]byte
	taken bool
}

// stream is one canonicalization. What it holds back is counted, not kept: blank lines that are
// dropped at the end of the body, a CR that may begin a line ending, and white space that
// relaxed drops at the end of a line.
type stream struct {
	hash      hash.Hash
	total     [sha256.Size]byte // hash of the whole body, once it is closed
	relaxed   bool
	length    int64
	snapshots []snapshot // by rising limit
	next      int        // the first snapshot not taken

	blank int64 // CRLFs held back
	cr    bool  // a CR held back
	space bool  // white space held back (relaxed)

	staged int // octets in stage
	stage  [stageSize]byte
}

// stageSize: short runs are gathered before they are hashed, because a call of the hash for each would make a body
// of such runs cost more per octet. For ordinary text it changes nothing.
const stageSize = 512

func (s *stream) addLimit(limit int64) {
	i := 0
	for i < len(s.snapshots) && s.snapshots[i].limit < limit {
		i++
	}
	if i < len(s.snapshots) && s.snapshots[i].limit == limit {
		return
	}
	s.snapshots = append(s.snapshots, snapshot{})
	copy(s.snapshots[i+1:], s.snapshots[i:])
	s.snapshots[i] = snapshot{limit: limit}
}

// emit takes canonical octets.
func (s *stream) emit(p []byte) {
	if len(p) < stageSize/4 {
		if s.staged+len(p) > stageSize {
			s.flush()
		}
		s.staged += copy(s.stage[s.staged:], p)
		return
	}
	s.flush()
	s.digest(p)
}

// emitOctet is emit of one octet.
func (s *stream) emitOctet(c byte) {
	if s.staged == stageSize {
		s.flush()
	}
	s.stage[s.staged] = c
	s.staged++
}

// flush hashes what is staged.
func (s *stream) flush() {
	n := s.staged
	s.staged = 0
	s.digest(s.stage[:n])
}

// digest hashes canonical octets and takes the snapshots on the way.
func (s *stream) digest(p []byte) {
	for s.next < len(s.snapshots) && s.snapshots[s.next].limit <= s.length+int64(len(p)) {
		n := int(s.snapshots[s.next].limit - s.length)
		s.hash.Write(p[:n])
		s.length += int64(n)
		p = p[n:]
		s.take()
	}
	if len(p) > 0 {
		s.hash.Write(p)
		s.length += int64(len(p))
	}
}

func (s *stream) take() {
	shot := &s.snapshots[s.next]
	s.hash.Sum(shot.sum[:0])
	shot.taken = true
	s.next++
}

var crlfs = bytes.Repeat([]byte("\r\n"), 256)

// flushBlank writes the blank lines that turned out not to end the body.
func (s *stream) flushBlank() {
	for s.blank > 0 {
		n := min(s.blank, int64(len(crlfs)/2))
		s.emit(crlfs[:2*n])
		s.blank -= n
	}
}

func (s *stream) write(p []byte) {
	if s.relaxed {
		s.writeRelaxed(p)
		return
	}
	s.writeSimple(p)
}

// begin is called before the first octet of content that is written now.
func (s *stream) begin() {
	switch {
	case s.blank == 1 && s.staged+2 <= stageSize:
		s.stage[s.staged], s.stage[s.staged+1] = '\r', '\n'
		s.staged += 2
		s.blank = 0
	case s.blank > 0:
		s.flushBlank()
	}
	if s.space {
		s.space = false
		s.emitOctet(' ')
	}
	if s.cr {
		s.cr = false
		s.emitOctet('\r')
	}
}

// lineEnd holds a CRLF back: it may be one of those that end the body.
func (s *stream) lineEnd() {
	s.cr, s.space = false, false
	s.blank++
}

// writeSimple passes everything but the line endings at the end of p, which may be trailing
// blank lines, and a last CR, which may begin one (RFC 6376 §3.4.3).
func (s *stream) writeSimple(p []byte) {
	if s.cr && len(p) > 0 && p[0] == '\n' {
		s.lineEnd()
		p = p[1:]
	}
	if len(p) == 0 {
		return
	}
	n := len(p)
	half := p[n-1] == '\r'
	if half {
		n--
	}
	ends := n
	for n >= 2 && p[n-1] == '\n' && p[n-2] == '\r' {
		n -= 2
	}
	if n > 0 || s.cr {
		s.begin()
		s.emit(p[:n])
	}
	s.blank += int64(ends-n) / 2
	s.cr = half
}

// close drops the blank lines at the end and adds the one CRLF that each algorithm wants:
// simple always (RFC 6376 §3.4.3), relaxed only after content (§3.4.4).
func (s *stream) close() {
	if s.cr { // a bare CR at the very end is content
		s.begin()
	}
	s.flush()
	if !s.relaxed || s.length > 0 {
		s.digest(crlfs[:2])
	}
	for s.next < len(s.snapshots) && s.snapshots[s.next].limit <= s.length {
		s.take()
	}
	s.hash.Sum(s.total[:0])
}

func (s *stream) sum(limit int64) (sum [sha256.Size]byte, ok bool) {
	if limit == NoLimit {
		return s.total, true
	}
	for _, shot := range s.snapshots {
		if shot.limit == limit {
			return shot.sum, shot.taken
		}
	}
	return sum, false
}
