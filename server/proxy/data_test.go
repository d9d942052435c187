package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReadData: CRLF . CRLF alone ends a message, and whatever else a server somewhere may
// take for its end is refused (CVE-2023-51764, -51765, -51766).
func TestReadData(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		broken         error
	}{
		{"text", "a\r\nb\r\n.\r\n", "a\r\nb\r\n", nil},
		{"empty", ".\r\n", "", nil},
		{"one empty line", "\r\n.\r\n", "\r\n", nil},
		{"dots", "..\r\n..a\r\n.b\r\n.\r\n", ".\r\n.a\r\nb\r\n", nil},
		{"dot in a line", "a.\r\n.\r\n", "a.\r\n", nil},
		{"long line", strings.Repeat("x", 3*readBuffer) + "\r\n.\r\n", strings.Repeat("x", 3*readBuffer) + "\r\n", nil},
		{"CR at the end of the buffer", strings.Repeat("x", readBuffer-1) + "\r\n.\r\n", strings.Repeat("x", readBuffer-1) + "\r\n", nil},
		{"dot at the end of the buffer", strings.Repeat("x", readBuffer) + "\r\n.\r\n", strings.Repeat("x", readBuffer) + "\r\n", nil},
		{"bare CR at the end of the buffer", strings.Repeat("x", readBuffer-1) + "\rx\r\n.\r\n", "", errBareCR},
		{"LF . LF", "a\n.\nb\r\n.\r\n", "", errBareLF},
		{"LF . CRLF", "a\n.\r\nb\r\n.\r\n", "", errBareLF},
		{"CRLF . LF", "a\r\n.\nb\r\n.\r\n", "", errBareLF},
		{"CR . CR", "a\r.\rb\r\n.\r\n", "", errBareCR},
		{"CR . CRLF", "a\r.\r\nb\r\n.\r\n", "", errBareCR},
		{"CRLF . CR", "a\r\n.\rb\r\n.\r\n", "", errBareCR},
		{"CRLF . CR CRLF", "a\r\n.\r\r\nb\r\n.\r\n", "", errBareCR},
		{"CR CRLF . CRLF", "a\r\r\n.\r\n", "", errBareCR},
		{"LF CR . CRLF", "a\n\r.\r\nb\r\n.\r\n", "", errBareLF},
		{"LF first", "\n.\r\n.\r\n", "", errBareLF},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.in + "NEXT"), iotest.OneByteReader(strings.NewReader(test.in + "NEXT"))} {
				var got bytes.Buffer
				in := bufio.NewReaderSize(r, readBuffer)
				broken, err := readData(&got, in)
				if broken != test.broken || err != nil {
					t.Fatalf("broken = %v, err = %v, want %v, nil", broken, err, test.broken)
				}
				if test.broken == nil && got.String() != test.want {
					t.Errorf("got %.100q, want %.100q", got.String(), test.want)
				}
				if rest, _ := io.ReadAll(in); string(rest) != "NEXT" {
					t.Errorf("after the message: %.100q, want %q", rest, "NEXT")
				}
			}
		})
	}
}

// TestAfterHeader: the body begins after the first empty line, whatever the length of the lines
// before it.
func TestAfterHeader(t *testing.T) {
	long := strings.Repeat("x", 4096)
	for in, want := range map[string]string{
		"A: b\r\n\r\nbody\r\n\r\n": "body\r\n\r\n", "\r\nbody": "body", "A: b\r\n": "", "": "", "A: b": "",
		"A:" + long[2:] + "\r\nB: c\r\n\r\nbody": "body", "A:" + long + long + "\r\n\r\n" + long + "\r\n": long + "\r\n",
	} {
		if got, err := io.ReadAll(afterHeader(iotest.HalfReader(strings.NewReader(in)))); err != nil || string(got) != want {
			t.Errorf("%.20q: %.40q, %v, want %.40q", in, got, err, want)
		}
	}
}

func TestReadDataEnds(t *testing.T) {
	for _, in := range []string{"", ".", "a", "a\r\n", "a\r\n.", "a\r\n.\r", "a\r\n..\r\n"} {
		if _, err := readData(io.Discard, bufio.NewReaderSize(strings.NewReader(in), readBuffer)); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: err = %v, want %v", in, err, io.ErrUnexpectedEOF)
		}
	}
}

// TestReadDataFull: a message that cannot be kept is read to its end.
func TestReadDataFull(t *testing.T) {
	full := errors.New("full")
	in := bufio.NewReaderSize(strings.NewReader("a\r\nb\r\n.\r\nNEXT"), readBuffer)
	broken, err := readData(failing{full}, in)
	if rest, _ := io.ReadAll(in); broken != full || err != nil || string(rest) != "NEXT" {
		t.Errorf("broken = %v, err = %v, rest %q", broken, err, rest)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// slowData is readData octet by octet: the message, what is wrong with it, what follows.
func slowData(in []byte) (message []byte, bare, whole bool, rest []byte) {
	end := bytes.Index(append([]byte("\r\n"), in...), []byte("\r\n.\r\n"))
	if end < 0 {
		return nil, false, false, nil
	}
	raw, rest := append([]byte("\r\n"), in...)[:end+2], in[end+3:]
	for i, c := range raw {
		bare = bare || c == 0 || c == '\n' && raw[i-1] != '\r' || c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n')
	}
	return bytes.ReplaceAll(raw, []byte("\r\n."), []byte("\r\n"))[2:], bare, true, rest
}

// FuzzData: readData agrees with its slow reference, and what is written with dots is read back.
func FuzzData(f *testing.F) {
	for _, seed := range []string{"a\r\n.\r\n", ".\r\n", "..\r\n.\r\nx", "a\n.\r\n.\r\n", "\r.\r\n\r\n.\r\n", "a\r\n.\n.\r\n.\r\n", "a\x00b\r\n.\r\n", "\r\x00\n\r\n.\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		want, bare, whole, rest := slowData(in)
		var got bytes.Buffer
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		broken, err := readData(&got, r)
		if (err == nil) != whole {
			t.Fatalf("err = %v, want a whole message: %v", err, whole)
		}
		if !whole {
			return
		}
		if (broken != nil) != bare {
			t.Fatalf("broken = %v, want bare line ends: %v", broken, bare)
		}
		if left, _ := io.ReadAll(r); !bytes.Equal(left, rest) {
			t.Fatalf("rest = %q, want %q", left, rest)
		}
		if bare {
			return
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("message = %q, want %q", got.Bytes(), want)
		}
		var out bytes.Buffer
		w := newDotWriter(bufio.NewWriter(&out))
		for i := range want { // in single octets: pieces do not matter
			if _, err := w.Write(want[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		if stuffed := in[:len(in)-len(rest)]; !bytes.Equal(unneeded(out.Bytes()), unneeded(stuffed)) {
			t.Fatalf("written %q, read %q", out.Bytes(), stuffed)
		}
	})
}

// unneeded removes what a client need not have stuffed: a lone dot before text is taken off on
// reading and not put back.
func unneeded(stuffed []byte) []byte {
	message, _, _, _ := slowData(stuffed)
	return message
}

func TestReadLine(t *testing.T) {
	for _, test := range []struct {
		in, want string
		err      error
	}{
		{"NOOP\r\n", "NOOP", nil},
		{"\r\n", "", nil},
		{"NOOP\n", "", errBareLF},
		{"\n", "", errBareLF},
		{"a\rb\r\n", "", errBareCR},
		{"a\r\r\n", "", errBareCR},
		{"\r\r\n", "", errBareCR},
		{"a", "", io.ErrUnexpectedEOF},
		{"", "", io.EOF},
		{strings.Repeat("x", maxLine-2) + "\r\n", strings.Repeat("x", maxLine-2), nil},
		{strings.Repeat("x", maxLine-1) + "\r\n", "", errLineTooLong},
		{strings.Repeat("x", 2*readBuffer), "", errLineTooLong},
	} {
		got, err := readLine(bufio.NewReaderSize(strings.NewReader(test.in), readBuffer))
		if got != test.want || err != test.err {
			t.Errorf("readLine(%.40q) = %.40q, %v, want %.40q, %v", test.in, got, err, test.want, test.err)
		}
	}
}
