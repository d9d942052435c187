package message

// Header is a header section (RFC 5322 §2.2), its fields in the order of the message. The zero value
// is empty, and nil reads as an empty one. It keeps one copy of the octets.
type Header struct {
	octets []byte
	fields []span
}

// span is a field: header sections are far below 2 GiB.
type span struct{ start, colon, end int32 }

// Add appends a copy of f.
func (h *Header) Add(f Field) {
	if h.fields == nil { // what an ordinary section takes: it would otherwise be copied five times as it grows
		h.octets, h.fields = make([]byte, 0, 4<<10), make([]span, 0, 32)
	}
	start := len(h.octets)
	h.octets = append(h.octets, f.Raw...)
	h.fields = append(h.fields, span{int32(start), int32(f.Colon), int32(len(h.octets))})
}

// Len returns the number of fields.
func (h *Header) Len() int {
	if h == nil {
		return 0
	}
	return len(h.fields)
}

// Size returns the octets of all fields, without their line endings.
func (h *Header) Size() int {
	if h == nil {
		return 0
	}
	return len(h.octets)
}

// At returns field i, counted from 0 at the top. The octets belong to h.
func (h *Header) At(i int) Field {
	s := h.fields[i]
	return Field{Raw: h.octets[s.start:s.end:s.end], Colon: int(s.colon)}
}

// Count returns how many fields have this name, in any case.
func (h *Header) Count(name string) int {
	n := 0
	for i := range h.Len() {
		if h.At(i).Is(name) {
			n++
		}
	}
	return n
}

// Index returns the position of the first field of this name, or -1.
func (h *Header) Index(name string) int {
	for i := range h.Len() {
		if h.At(i).Is(name) {
			return i
		}
	}
	return -1
}
