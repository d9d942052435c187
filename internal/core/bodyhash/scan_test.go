package bodyhash

import (
	"bytes"
	"testing"
)

// slowScan is scan by its words.
func slowScan(p []byte) int {
	for i := range max(len(p)-1, 0) {
		x, y := p[i], p[i+1]
		if x == '\t' || x == ' ' && (y == ' ' || y == '\r') || x == '\r' && y != '\n' {
			return i
		}
	}
	return max(len(p)-1, 0)
}

func checkScan(t *testing.T, p []byte) {
	t.Helper()
	want := slowScan(p)
	if got := scan(p); got != want {
		t.Fatalf("scan(%q) = %d, want %d", p, got, want)
	}
	for name, wide := range map[string]func([]byte) int{"scanWide": scanWide, "scanWords": scanWords} {
		got := wide(p)
		if got > want || got < want && got+33 <= len(p) && len(p) >= 64 && want-got > 32 {
			t.Fatalf("%s(%q) = %d, and the first find is at %d", name, p, got, want)
		}
	}
}

// TestScan puts each find at each place of a line of other octets that look like it.
func TestScan(t *testing.T) {
	for _, fill := range []byte{'x', 0, 0x80, 0xff, '\n', '!', 0x0b, 0x08, 0x21, 0x1f} {
		for length := range 140 {
			for _, find := range []string{"\t", "  ", " \r", "\rx", "\r\r", "\r\n", " x", " \t"} {
				p := bytes.Repeat([]byte{fill}, length)
				checkScan(t, p)
				for at := 0; at+len(find) <= length; at++ {
					q := bytes.Clone(p)
					copy(q[at:], find)
					checkScan(t, q)
				}
			}
		}
	}
}

// FuzzScan: the scanners, by words and wide, skip nothing that the one by octets finds.
func FuzzScan(f *testing.F) {
	for _, b := range bodies {
		f.Add([]byte(b))
		f.Add(bytes.Repeat([]byte(b+"x"), 50))
	}
	f.Fuzz(func(t *testing.T, p []byte) { checkScan(t, p) })
}

func BenchmarkScan(b *testing.B) {
	p := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then some more words.\r\n"), 400)
	for name, scan := range map[string]func([]byte) int{"wide": scanWide, "words": scanWords} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				scan(p)
			}
		})
	}
}
