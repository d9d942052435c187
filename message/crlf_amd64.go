package message

import (
	"slices"

	"golang.org/x/sys/cpu"
)

// appendCRLFWide is appendCRLFFrom for as much of text as goes 32 octets at a time. It returns
// where that ends.
func appendCRLFWide(dst, text []byte, n int) ([]byte, int) {
	for cpu.X86.HasAVX2 && len(text)-n >= 32 {
		dst = slices.Grow(dst, len(text)-n+(len(text)-n)/16+64)
		free := dst[len(dst):cap(dst)]
		read, written := crlfAVX2(&free[0], len(free), &text[0], len(text), n)
		dst, n = dst[:len(dst)+written], read
	}
	return dst, n
}

// crlfAVX2 copies the n octets of text, from the given one on, to the free at dst, with a CR
// before each LF that has none. It ends where less than 32 octets are left, or less than 34 of
// the free, and returns where that is and how many octets it wrote.
//
//go:noescape
func crlfAVX2(dst *byte, free int, text *byte, n, from int) (read, written int)
