// Package canonical gives header fields their canonical form and finds those that a
// signature names (RFC 6376 §3.4, §5.4.2). DKIM and ARC share it.
package canonical

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// Digests are the SHA-256 hashes of what signatures cover of a header section, by the
// position of the signature's field. They can stand for text that is not to be kept.
type Digests map[int][sha256.Size]byte

// Digest is one of Digests.
type Digest struct {
	Field int
	Sum   [sha256.Size]byte
}

// Relaxed appends the relaxed form of f, CRLF included: the name in lower case, no fold,
// runs of white space as one space, none around the colon or at the end (RFC 6376 §3.4.2,
// erratum 5839). White space is SP and HTAB alone.
func Relaxed(dst []byte, f message.Field) []byte {
	for _, c := range f.Name() {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	return append(relaxedValue(dst, f.Value()), '\r', '\n')
}

func relaxedValue(dst, v []byte) []byte {
	start, space := len(dst), false
	for i := 0; i < len(v); {
		c := v[i]
		switch {
		case c == '\r' && i+1 < len(v) && v[i+1] == '\n':
			i += 2
			continue
		case c == ' ' || c == '\t':
			space = true
			i++
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		n := plainRun(v[i:])
		dst = append(dst, v[i:i+n]...)
		i += n
	}
	return dst
}

// plainRun returns the length of a prefix of v that has no white space and no CRLF after
// its first octet.
func plainRun(v []byte) int {
	for i := 1; i < len(v); i++ {
		if c := v[i]; c == ' ' || c == '\t' || c == '\r' {
			return i
		}
	}
	return len(v)
}

// Simple appends f as it was received, and CRLF (RFC 6376 §3.4.1).
func Simple(dst []byte, f message.Field) []byte {
	return append(append(dst, f.Raw...), '\r', '\n')
}

// WithoutTag returns f with the value of the tag name, and the white space around it,
// deleted (RFC 6376 §3.7). Only the tag of exactly that name is touched.
func WithoutTag(f message.Field, name string) message.Field {
	v := f.Value()
	for start := 0; start <= len(v); {
		end := bytes.IndexByte(v[start:], ';')
		if end < 0 {
			end = len(v)
		} else {
			end += start
		}
		if equals := bytes.IndexByte(v[start:end], '='); equals >= 0 && isName(v[start:start+equals], name) {
			offset := f.Colon + 1
			return message.Field{Raw: slices.Concat(f.Raw[:offset+start+equals+1], f.Raw[offset+end:]), Colon: f.Colon}
		}
		start = end + 1
	}
	return f
}

// isName reports whether text is name, apart from white space around it.
func isName(text []byte, name string) bool {
	for len(text) > 0 && tagvalue.IsFWS(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && tagvalue.IsFWS(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return string(text) == name
}

// Index finds the fields of a header section by name, from the bottom up. It is made
// once for all signatures of a message. Its map is seeded: no set of names makes it slow.
type Index struct {
	header *message.Header
	number map[string]int32 // of a name in lower case
	last   []int32          // by number: the lowest field of that name
	above  []int32          // by field: the next one of the same name above, -1 for none
}

// NewIndex indexes h.
func NewIndex(h *message.Header) *Index {
	n := h.Len()
	x := &Index{header: h, number: make(map[string]int32, n), last: make([]int32, 0, n), above: make([]int32, n)}
	names := loweredNames(h)
	for i := range n {
		end := len(h.At(i).Name())
		name := names[:end]
		names = names[end:]
		number, known := x.number[name]
		if !known {
			number = int32(len(x.last))
			x.number[name] = number
			x.last = append(x.last, -1)
		}
		x.above[i] = x.last[number]
		x.last[number] = int32(i)
	}
	return x
}

// loweredNames are the names of all fields in lower case, without anything between them.
func loweredNames(h *message.Header) string {
	size := 0
	for i := range h.Len() {
		size += len(h.At(i).Name())
	}
	var names strings.Builder
	names.Grow(size)
	for i := range h.Len() {
		for _, c := range h.At(i).Name() {
			names.WriteByte(lower(c))
		}
	}
	return names.String()
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Selection hands out the fields for one signature.
type Selection struct {
	*Index
	next []int32
	skip int32
}

// Select begins a selection that never hands out field skip, the signature's own.
func (x *Index) Select(skip int) *Selection {
	return &Selection{Index: x, next: slices.Clone(x.last), skip: int32(skip)}
}

// Next returns the lowest field of this name, in any case, that was not handed out; ok
// is false when there is none (RFC 6376 §5.4.2).
func (s *Selection) Next(name string) (f message.Field, ok bool) {
	n, known := s.number[strings.ToLower(name)]
	if !known {
		return f, false
	}
	i := s.next[n]
	if i == s.skip && i >= 0 {
		i = s.above[i]
	}
	if i < 0 {
		s.next[n] = -1
		return f, false
	}
	s.next[n] = s.above[i]
	return s.header.At(int(i)), true
}
