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

// FuzzCRLFReader: the line ends do not depend on how the text comes, and agree with a slow
// twin.
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
			var b strings.Builder
			for i := range len(in) {
				if in[i] == '\n' && (i == 0 || in[i-1] != '\r') {
					b.WriteByte('\r')
				}
				b.WriteByte(in[i])
			}
			want = b.String()
		}
		if string(got) != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if at := CRLF([]byte(in)); string(at) != want {
			t.Errorf("%q became %q at once, want %q", in, at, want)
		}
	})
}
