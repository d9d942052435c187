// Package message splits a message into octet-exact header fields and a body, in one
// pass and in bounded memory, and finds the Author Domain (RFC 5322, RFC 9989 §5.3.1).
package message

import (
	"bytes"
	"io"
)

// Field is one header field (RFC 5322 §2.2), octet for octet as it was received.
type Field struct {
	Raw   []byte // name, colon, value with its folds; without the CRLF that ends the field
	Colon int    // offset of the colon in Raw
}

// ParseField finds the colon of raw. ok is false when raw is not a header field: no colon, an
// empty name, or a name with octets outside 33–126 (RFC 5322 §2.2); white space between name
// and colon is allowed (§4.5.3 obs-optional).
func ParseField(raw []byte) (f Field, ok bool) {
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 {
		return Field{}, false
	}
	name := bytes.TrimRight(raw[:colon], " \t")
	if len(name) == 0 {
		return Field{}, false
	}
	for _, c := range name {
		if c < 33 || c > 126 {
			return Field{}, false
		}
	}
	return Field{Raw: raw, Colon: colon}, true
}

// Name is the field name as written, without white space before the colon (RFC 5322
// §4.5.3).
func (f Field) Name() []byte {
	end := min(max(f.Colon, 0), len(f.Raw))
	for end > 0 && isWSP(f.Raw[end-1]) {
		end--
	}
	return f.Raw[:end]
}

// Value is everything after the colon, folds included (RFC 5322 §2.2.3); nothing if Raw has no colon there.
func (f Field) Value() []byte {
	if f.Colon < 0 || f.Colon >= len(f.Raw) {
		return nil
	}
	return f.Raw[f.Colon+1:]
}

// Is reports whether the field has this name, in any case (RFC 5322 §1.2.2).
func (f Field) Is(name string) bool {
	n := f.Name()
	if len(n) != len(name) {
		return false
	}
	for i := range n {
		if lower(n[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Sink takes a message: its fields in order, the end of the header section, then the
// body in pieces of any size. A Field is valid during the call only.
type Sink interface {
	Field(Field) error
	EndHeader() error
	io.Writer
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }
