package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var crlfTests = []struct{ name, in, want string }{
	{"empty", "", ""},
	{"no line end", "abc", "abc"},
	{"CRLF", "a\r\nb\r\n", "a\r\nb\r\n"},
	{"LF", "a\nb\n", "a\r\nb\r\n"},
	{"LF first", "\na\n", "\r\na\r\n"},
	{"LF twice", "a\n\nb", "a\r\n\r\nb"},
	{"CRLF form keeps a bare LF", "a\r\nb\nc\r\n", "a\r\nb\nc\r\n"},
	{"LF form keeps a CRLF", "a\nb\r\nc\n", "a\r\nb\r\nc\r\n"},
	{"bare CR", "a\rb\nc\rd\n", "a\rb\r\nc\rd\r\n"},
	{"CR only", "a\rb\r", "a\rb\r"},
	{"CR CR LF", "a\r\r\nb\n", "a\r\r\nb\n"},
}

func TestCRLFReader(t *testing.T) {
	for _, tt := range crlfTests {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size < 12; size++ {
				for name, r := range map[string]io.Reader{
					"whole": strings.NewReader(tt.in), "octets": iotest.OneByteReader(strings.NewReader(tt.in)),
					"dataerr": iotest.DataErrReader(strings.NewReader(tt.in)),
				} {
					var out bytes.Buffer
					_, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{NewCRLFReader(r)}, make([]byte, size))
					if got := out.String(); got != tt.want || err != nil {
						t.Errorf("%s, reads of %d: %q, %v; want %q", name, size, got, err, tt.want)
					}
				}
			}
		})
	}
	if err := iotest.TestReader(NewCRLFReader(strings.NewReader("a\nb\n")), []byte("a\r\nb\r\n")); err != nil {
		t.Error(err)
	}
}

// TestAppendCRLF puts line endings at each place of a text, with too little memory at first.
func TestAppendCRLF(t *testing.T) {
	for length := range 140 {
		for _, end := range []string{"\n", "\r\n", "\n\n", "\r", "\n\r\n", "\r\r\n"} {
			for at := 0; at+len(end) <= length; at++ {
				text := bytes.Repeat([]byte("x"), length)
				copy(text[at:], end)
				text = append([]byte("\n"), text...)
				want := slowCRLF(string(text))
				if got := AppendCRLF(make([]byte, 1, 9), text); string(got[1:]) != want {
					t.Fatalf("%q became %q, want %q", text, got[1:], want)
				}
			}
		}
	}
}

// slowCRLF is CRLF of a text of the LF form, by its words.
func slowCRLF(in string) string {
	var b strings.Builder
	for i := range len(in) {
		if in[i] == '\n' && (i == 0 || in[i-1] != '\r') {
			b.WriteByte('\r')
		}
		b.WriteByte(in[i])
	}
	return b.String()
}

// FuzzCRLFReader: the line endings do not depend on how the text comes, and agree with a slow
// reference.
func FuzzCRLFReader(f *testing.F) {
	for _, tt := range crlfTests {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := io.ReadAll(NewCRLFReader(strings.NewReader(in)))
		if err != nil {
			t.Fatal(err)
		}
		slow, err := io.ReadAll(NewCRLFReader(iotest.OneByteReader(strings.NewReader(in))))
		if err != nil || !bytes.Equal(got, slow) {
			t.Fatalf("%q, octet by octet %q, %v", got, slow, err)
		}
		want := in
		if i := strings.IndexByte(in, '\n'); i == 0 || i > 0 && in[i-1] != '\r' {
			want = slowCRLF(in)
		}
		if string(got) != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "octets": iotest.OneByteReader(strings.NewReader(in)), "halves": iotest.HalfReader(strings.NewReader(in))} {
			var out bytes.Buffer
			n, err := NewCRLFReader(r).(io.WriterTo).WriteTo(&out)
			if out.String() != want || n != int64(len(want)) || err != nil {
				t.Errorf("%q became %q written, %s (%d, %v); want %q", in, &out, name, n, err, want)
			}
		}
		if at := CRLF([]byte(in)); string(at) != want {
			t.Errorf("%q became %q at once, want %q", in, at, want)
		}
	})
}

func BenchmarkAppendCRLF(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then some more words.\n"), 140)
	var dst []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst = AppendCRLF(dst[:0], text)
	}
}
