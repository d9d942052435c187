package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// recorder is a Sink that notes what it got.
type recorder struct {
	fields []string
	colons []int
	ends   int
	body   bytes.Buffer
	writes int
	late   bool // a field or the end came when it must not
}

func (r *recorder) Field(f Field) error {
	r.late = r.late || r.ends > 0
	r.fields = append(r.fields, string(f.Raw))
	r.colons = append(r.colons, f.Colon)
	return nil
}
func (r *recorder) EndHeader() error { r.ends++; return nil }
func (r *recorder) Write(p []byte) (int, error) {
	r.late = r.late || r.ends != 1
	r.writes++
	return r.body.Write(p)
}

func (r *recorder) String() string {
	return strings.Join(r.fields, "|") + "#" + r.body.String()
}

// split runs one message through a Splitter in pieces of n octets; 0 is all at once.
func split(t testing.TB, text []byte, n int, lim Limits) (*recorder, error) {
	t.Helper()
	r := new(recorder)
	s := NewSplitter(r, lim)
	for len(text) > 0 {
		k := len(text)
		if n > 0 && n < k {
			k = n
		}
		piece := append([]byte(nil), text[:k]...)
		if _, err := s.Write(piece); err != nil {
			if again := s.Close(); again != err {
				t.Errorf("Close after an error = %v, want %v", again, err)
			}
			return r, err
		}
		for i := range piece {
			piece[i] = '!' // the caller may use its memory again
		}
		text = text[k:]
	}
	return r, s.Close()
}

var splitTests = []struct {
	name, in, want string // fields joined by |, then # and the body
}{
	{"empty", "", "#"},
	{"blank line", "\r\n", "#"},
	{"blank line and body", "\r\nbody", "#body"},
	{"usual", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1|B: 2#body\r\n"},
	{"no body", "A: 1\r\n\r\n", "A: 1#"},
	{"no blank line", "A: 1\r\nB: 2\r\n", "A: 1|B: 2#"},
	{"no last CRLF", "A: 1\r\nB: 2", "A: 1|B: 2#"},
	{"ends with CR", "A: 1\r\nB: 2\r", "A: 1|B: 2\r#"},
	{"CR in place of the blank line", "A: 1\r\n\r", "A: 1#\r"},
	{"fold", "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n\r\n", "A: 1\r\n\t2\r\n 3|B: 4#"},
	{"fold at the end", "A: 1\r\n ", "A: 1\r\n #"},
	{"white continuation line", "A: 1\r\n \r\nB: 2\r\n\r\nx", "A: 1\r\n |B: 2#x"},
	{"space before colon", "A \t: 1\r\n\r\n", "A \t: 1#"},
	{"empty value", "A:\r\n\r\n", "A:#"},
	{"missing blank line", "A: 1\r\nHello there\r\nB: 2\r\n", "A: 1#Hello there\r\nB: 2\r\n"},
	{"missing blank line, word", "A: 1\r\nHello", "A: 1#Hello"},
	{"first line is body", "Hello there\r\n\r\nx", "#Hello there\r\n\r\nx"},
	{"first line is a continuation", " A: 1\r\nB: 2\r\n", "# A: 1\r\nB: 2\r\n"},
	{"no name", ": 1\r\nB: 2\r\n", "#: 1\r\nB: 2\r\n"},
	{"8-bit name", "\xc3\xa4: 1\r\nB: 2\r\n", "#\xc3\xa4: 1\r\nB: 2\r\n"},
	{"two words before the colon", "A: 1\r\nB C: 2\r\n", "A: 1#B C: 2\r\n"},
	{"bare LF", "A: 1\nB: 2\r\n\r\nx", "A: 1\nB: 2#x"},
	{"bare CR", "A: 1\rB: 2\r\n\r\nx", "A: 1\rB: 2#x"},
	{"LF LF", "A: 1\n\nx\r\n\r\ny", "A: 1\n\nx#y"},
	{"CR CR LF", "A: 1\r\r\nB: 2\r\n\r\n", "A: 1\r|B: 2#"},
	{"LF before a field", "A: 1\r\n\nB: 2\r\n", "A: 1#\nB: 2\r\n"},
	{"LF fold", "A: 1\n 2\r\n\r\n", "A: 1\n 2#"},
	{"NUL", "A: 1\x002\r\n\r\n", "A: 1\x002#"},
	{"mbox", "From a@b Mon\r\nA: 1\r\n\r\nx", "A: 1#x"},
	{"quoted mbox", ">From a@b Mon\r\nA: 1\r\n\r\nx", "A: 1#x"},
	{"mbox only", "From a@b Mon\r\n", "#"},
	{"mbox without an end", "From a@b Mon", "#From a@b Mon"},
	{"mbox twice", "From a\r\nFrom b\r\nA: 1\r\n", "#From b\r\nA: 1\r\n"},
	{"mbox below a field", "A: 1\r\nFrom b\r\nB: 1\r\n", "A: 1#From b\r\nB: 1\r\n"},
	{"mbox line that hides a field", "From a\nFrom: x@y\r\nA: 1\r\n\r\n", "#From a\nFrom: x@y\r\nA: 1\r\n\r\n"},
	{"mbox line with CR", "From a\rFrom: x@y\r\nA: 1\r\n\r\n", "#From a\rFrom: x@y\r\nA: 1\r\n\r\n"},
	{"mbox, then a continuation", "From a\r\n b\r\nA: 1\r\n", "# b\r\nA: 1\r\n"},
	{"From with a space is a field", "From : a@b\r\n\r\n", "From : a@b#"},
	{"dots are not unstuffed", "A: 1\r\n\r\n..\r\n.\r\n", "A: 1#..\r\n.\r\n"},
	{"fields in the body", "A: 1\r\n\r\nB: 2\r\n\r\nC: 3\r\n", "A: 1#B: 2\r\n\r\nC: 3\r\n"},
}

func TestSplitter(t *testing.T) {
	for _, tt := range splitTests {
		t.Run(tt.name, func(t *testing.T) {
			for n := 0; n <= len(tt.in); n++ {
				r, err := split(t, []byte(tt.in), n, Limits{})
				if err != nil || r.String() != tt.want || r.ends != 1 || r.late {
					t.Fatalf("pieces of %d: %q, %d ends, %v; want %q", n, r, r.ends, err, tt.want)
				}
				for i, raw := range r.fields {
					f, ok := ParseField([]byte(raw))
					if !ok || f.Colon != r.colons[i] {
						t.Errorf("ParseField(%q) = colon %d, %v; want %d", raw, f.Colon, ok, r.colons[i])
					}
				}
			}
		})
	}
}

func TestSplitterEveryCut(t *testing.T) {
	for _, tt := range splitTests {
		for i := 0; i <= len(tt.in); i++ {
			for j := i; j <= len(tt.in); j++ {
				r := new(recorder)
				s := NewSplitter(r, Limits{})
				for _, piece := range []string{tt.in[:i], tt.in[i:j], tt.in[j:]} {
					if _, err := s.Write([]byte(piece)); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil || r.String() != tt.want {
					t.Fatalf("%s, cut at %d and %d: %q, %v; want %q", tt.name, i, j, r, err, tt.want)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	const long = "A: 0123456789\r\n" // 13 octets and CRLF
	tests := []struct {
		name, in string
		lim      Limits
		want     Reason
		fields   int
	}{
		{"field fits", long + "\r\n", Limits{FieldBytes: 13}, "", 1},
		{"field too long", long + "\r\n", Limits{FieldBytes: 12}, FieldTooLarge, 0},
		{"field too long, no CRLF", "A: 0123456789", Limits{FieldBytes: 12}, FieldTooLarge, 0},
		{"fold counts", "A: 0\r\n 1\r\n 2\r\n\r\n", Limits{FieldBytes: 11}, FieldTooLarge, 0},
		{"second field too long", "A: 0\r\n" + long, Limits{FieldBytes: 12}, FieldTooLarge, 1},
		{"header fits", long + long + "\r\n", Limits{HeaderBytes: 30}, "", 2},
		{"header too large", long + long + "\r\n", Limits{HeaderBytes: 29}, HeaderTooLarge, 1},
		{"header too large, no CRLF", long + "A: 0123456789", Limits{HeaderBytes: 29}, HeaderTooLarge, 1},
		{"both, header first", long + long, Limits{HeaderBytes: 20, FieldBytes: 13}, HeaderTooLarge, 1},
		{"both, field first", long + long, Limits{HeaderBytes: 20, FieldBytes: 3}, FieldTooLarge, 0},
		{"fields fit", long + long + "\r\n", Limits{Fields: 2}, "", 2},
		{"too many fields", long + long + "\r\n", Limits{Fields: 1}, TooManyFields, 1},
		{"too many and too long", "A: 0\r\n" + long + "\r\n", Limits{Fields: 1, FieldBytes: 5}, TooManyFields, 1},
		{"From with a space is never an mbox line", "From :\r\n", Limits{FieldBytes: 2}, FieldTooLarge, 0},
		{"body after the last field", long + "no field", Limits{Fields: 1}, "", 1},
		{"name too long is body", strings.Repeat("a", 999) + ": 1\r\n\r\n", Limits{}, "", 0},
		{"name that fits", strings.Repeat("a", 998) + ": 1\r\n\r\n", Limits{}, "", 1},
		{"mbox line too long is body", "From " + strings.Repeat("a", 2000) + "\r\nA: 1\r\n", Limits{}, "", 0},
		{"mbox line that fits", "From " + strings.Repeat("a", 993) + "\r\nA: 1\r\n", Limits{}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for n := range 18 {
				r, err := split(t, []byte(tt.in), n, tt.lim)
				var limit *LimitError
				got := Reason("")
				if errors.As(err, &limit) {
					got = limit.Reason
				}
				if got != tt.want || len(r.fields) != tt.fields {
					t.Errorf("pieces of %d: %v after %d fields; want %q after %d", n, err, len(r.fields), tt.want, tt.fields)
				}
			}
		})
	}
}

func TestLimitsCheckAgrees(t *testing.T) {
	for _, lim := range []Limits{{}, {HeaderBytes: 20}, {HeaderBytes: 22, FieldBytes: 6}, {Fields: 2}, {FieldBytes: 4}} {
		var h Header
		var want Reason
		in := "A: 1\r\nBc: 22\r\nD: 333\r\n"
		for line := range strings.SplitSeq(strings.TrimSuffix(in, "\r\n"), "\r\n") {
			f, _ := ParseField([]byte(line))
			if want = lim.Check(&h, f); want != "" {
				break
			}
			h.Add(f)
		}
		r, err := split(t, []byte(in), 0, lim)
		var limit *LimitError
		got := Reason("")
		if errors.As(err, &limit) {
			got = limit.Reason
		}
		if got != want || len(r.fields) != h.Len() {
			t.Errorf("%+v: Splitter says %q after %d fields, Check %q after %d", lim, got, len(r.fields), want, h.Len())
		}
	}
}

// TestPastLimits: every field comes, whatever the limits and the pieces, and a long one is cut to
// what Limits.Check refuses.
func TestPastLimits(t *testing.T) {
	lim := Limits{FieldBytes: 12, Fields: 2, HeaderBytes: 40}
	for in, want := range map[string]string{
		"A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody":                              "A: 1|B: 2|C: 3#body",
		"A: 012345678901234567890\r\nB: 2\r\n\r\nbody":                  "A: 0123456789|B: 2#body",
		"A: 0123456789\r\n folded\r\n\tagain\r\nB: 2\r\n\r\nbody":       "A: 0123456789|B: 2#body",
		"A: 012345678901234567890\r\r\r\nB: 2\r\n\r\nbody":              "A: 0123456789|B: 2#body",
		"A: 012345678901234567890\n\nB\n: 2\r\n\r\nbody":                "A: 0123456789#body",
		"A: 012345678901234567890":                                      "A: 0123456789#",
		"A: 012345678901234567890\r":                                    "A: 0123456789#",
		"A: 012345678901234567890\r\n":                                  "A: 0123456789#",
		"A-name-that-is-long: 0123\r\nB: 2\r\n\r\nbody":                 "A-name-that-is-long:|B: 2#body",
		"A: 01234567890123456789\r\n \r\nno field\r\n":                  "A: 0123456789#no field\r\n",
		strings.Repeat("A: 01\r\n", 20) + "\r\nbody":                    strings.Repeat("|A: 01", 20)[1:] + "#body",
		"A: 1\r\nB: " + strings.Repeat("x\r\n ", 5000) + "\r\nC: 2\r\n": "A: 1|B: x\r\n x\r\n x\r|C: 2#",
	} {
		for _, n := range []int{0, 1, 2, 3, 5, 7, 13, 4097} {
			r := new(recorder)
			s := NewSplitter(r, lim)
			s.PastLimits()
			for rest := []byte(in); len(rest) > 0; {
				k := len(rest)
				if n > 0 {
					k = min(n, k)
				}
				piece := bytes.Clone(rest[:k])
				if _, err := s.Write(piece); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(piece, rest[:k]) {
					t.Fatal("the octets of the caller changed")
				}
				rest = rest[k:]
				if len(s.buf) > 30+4096 {
					t.Fatalf("%d octets are held", len(s.buf))
				}
			}
			if err := s.Close(); err != nil || r.String() != want || r.ends != 1 {
				t.Errorf("%.60q in pieces of %d: %.80q, %v; want %.80q", in, n, r, err, want)
			}
			for i, f := range r.fields {
				if r.colons[i] >= len(f) || f[r.colons[i]] != ':' {
					t.Errorf("%q: the colon is not at %d", f, r.colons[i])
				}
			}
		}
	}
}

func TestLimitError(t *testing.T) {
	err := &LimitError{TooManyFields, 7}
	if got, want := err.Error(), "message.TooManyFields: limit is 7"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		if seen[r] || !strings.HasPrefix(string(r), "message.") {
			t.Errorf("Reasons() has %q twice or misnamed", r)
		}
		seen[r] = true
	}
}

// failing is a Sink that fails at one step.
type failing struct {
	recorder
	at  string
	err error
}

func (f *failing) Field(x Field) error {
	if f.at == "field" {
		return f.err
	}
	return f.recorder.Field(x)
}
func (f *failing) EndHeader() error {
	if f.at == "end" {
		return f.err
	}
	return f.recorder.EndHeader()
}
func (f *failing) Write(p []byte) (int, error) {
	switch f.at {
	case "body":
		return 0, f.err
	case "short":
		return len(p) - 1, nil
	}
	return f.recorder.Write(p)
}

func TestSinkErrors(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range []string{"field", "end", "body", "short"} {
		want := boom
		if at == "short" {
			want = io.ErrShortWrite
		}
		for _, in := range []string{"A: 1\r\n\r\nbody", "A: 1\r\nno field"} {
			for _, n := range []int{1, 3, 100} {
				s := NewSplitter(&failing{at: at, err: boom}, Limits{})
				var err error
				for rest := in; rest != "" && err == nil; rest = rest[min(n, len(rest)):] {
					_, err = s.Write([]byte(rest[:min(n, len(rest))]))
				}
				if again := s.Close(); again != want || err != nil && err != want {
					t.Errorf("%s, %q in pieces of %d: %v, Close %v; want %v", at, in, n, err, again, want)
				}
			}
			if err := Stream(&failing{at: at, err: boom}, strings.NewReader(in), Limits{}); err != want {
				t.Errorf("%s: Stream(%q) = %v, want %v", at, in, err, want)
			}
		}
	}
}

func TestWriteAfterClose(t *testing.T) {
	s := NewSplitter(new(recorder), Limits{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err != ErrClosed {
		t.Errorf("Write after Close = %v, want %v", err, ErrClosed)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
}

func TestStream(t *testing.T) {
	for _, tt := range splitTests {
		readers := map[string]io.Reader{
			"bytes":   bytes.NewReader([]byte(tt.in)),
			"buffer":  bytes.NewBufferString(tt.in),
			"bufio":   bufio.NewReaderSize(strings.NewReader(tt.in), 16),
			"strings": strings.NewReader(tt.in),
			"octets":  iotest.OneByteReader(strings.NewReader(tt.in)),
			"dataerr": iotest.DataErrReader(strings.NewReader(tt.in)),
		}
		for name, src := range readers {
			r := new(recorder)
			if err := Stream(r, src, Limits{}); err != nil || r.String() != tt.want || r.ends != 1 {
				t.Errorf("%s from %s: %q, %v; want %q", tt.name, name, r, err, tt.want)
			}
		}
	}
	boom := errors.New("boom")
	if err := Stream(new(recorder), iotest.ErrReader(boom), Limits{}); err != boom {
		t.Errorf("Stream of a failing reader = %v, want %v", err, boom)
	}
}

// The body is handed over as it came: one Write, the caller's memory, nothing kept.
func TestBodyIsNotCopied(t *testing.T) {
	in := []byte("A: 1\r\n\r\n" + strings.Repeat("x", 1<<20))
	r := new(recorder)
	r.body.Grow(1 << 20)
	s := NewSplitter(r, Limits{})
	if _, err := s.Write(in); err != nil || r.writes != 1 {
		t.Fatalf("Write: %v, %d body writes; want 1", err, r.writes)
	}
	if got := cap(s.buf); got != 0 {
		t.Errorf("Splitter holds %d octets, want 0", got)
	}
}

func TestHeldMemoryIsBounded(t *testing.T) {
	s := NewSplitter(new(recorder), Limits{FieldBytes: 1000})
	s.Write([]byte("A: "))
	if _, err := s.Write(bytes.Repeat([]byte("x"), 10<<20)); err == nil {
		t.Fatal("Write of a field of 10 MB = nil, want an error")
	}
	if got := cap(s.buf); got > 16<<10 {
		t.Errorf("Splitter holds %d octets, want at most 16 KiB", got)
	}
}

// FuzzSplitter: pieces do not change what is split, the parts put together are the input, and
// each field parses as one.
func FuzzSplitter(f *testing.F) {
	for i, tt := range splitTests {
		f.Add([]byte(tt.in), uint16(i), uint8(0))
	}
	f.Add([]byte("A: 1\r\nB: 2\r\n 3\r\n\r\nx"), uint16(9), uint8(9))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, small uint8) {
		lim := Limits{}
		if small > 0 {
			lim = Limits{HeaderBytes: int(small) * 2, Fields: int(small), FieldBytes: int(small)}
		}
		whole, err := split(t, in, 0, lim)
		pieces, errPieces := split(t, in, int(cut%64)+1, lim)
		if whole.String() != pieces.String() || whole.ends != pieces.ends || !sameLimit(err, errPieces) {
			t.Fatalf("whole %q %v, pieces %q %v", whole, err, pieces, errPieces)
		}
		if err != nil {
			return
		}
		if whole.ends != 1 || whole.late {
			t.Fatalf("%d ends, late %v", whole.ends, whole.late)
		}
		checkOctets(t, in, whole)
		for i, raw := range whole.fields {
			if f, ok := ParseField([]byte(raw)); !ok || f.Colon != whole.colons[i] {
				t.Errorf("ParseField(%q) = %d, %v, want %d", raw, f.Colon, ok, whole.colons[i])
			}
		}
	})
}

func sameLimit(a, b error) bool {
	var x, y *LimitError
	if !errors.As(a, &x) || !errors.As(b, &y) {
		return a == nil && b == nil
	}
	return *x == *y
}

// checkOctets: the parts, put together again, are the input, but for an mbox line.
func checkOctets(t *testing.T, in []byte, r *recorder) {
	t.Helper()
	text := string(in)
	if strings.HasPrefix(text, "From ") || strings.HasPrefix(text, ">From ") {
		line, rest, ok := strings.Cut(text, "\r\n")
		if _, isField := ParseField([]byte(line)); ok && !isField && len(line) <= maxName && !strings.ContainsAny(line, "\r\n") {
			text = rest
		}
	}
	var b strings.Builder
	for _, raw := range r.fields {
		b.WriteString(raw + "\r\n")
	}
	fields, body := b.String(), r.body.String()
	if text != fields+"\r\n"+body && text != fields+body && text != strings.TrimSuffix(fields, "\r\n") {
		t.Errorf("%q was split into %q and %q", text, fields, body)
	}
}

func benchMessage(body int) []byte {
	return []byte("Received: from a.example (a.example [192.0.2.1])\r\n\tby mx.example.net with ESMTP id 1\r\n\tfor <b@example.net>; Mon, 2 Nov 2026 10:00:00 +0000\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;\r\n\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=" + strings.Repeat("abcdefgh", 40) + "\r\n" +
		"From: \"Doe, John\" <john@example.com>\r\nTo: b@example.net\r\nSubject: hello\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n" +
		strings.Repeat("A line of the body of this message.\r\n", body/37))
}

type discard struct{}

func (discard) Field(Field) error           { return nil }
func (discard) EndHeader() error            { return nil }
func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkSplitter(b *testing.B) {
	for _, bench := range []struct {
		name  string
		piece int
	}{{"whole", 1 << 30}, {"pieces", 100}, {"octets", 1}} {
		b.Run(bench.name, func(b *testing.B) {
			in := benchMessage(1000)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				s := NewSplitter(discard{}, Limits{})
				for p := in; len(p) > 0; p = p[min(bench.piece, len(p)):] {
					s.Write(p[:min(bench.piece, len(p))])
				}
				s.Close()
			}
		})
	}
}
