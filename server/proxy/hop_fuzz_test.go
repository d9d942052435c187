package proxy

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"postseal/internal/core/smtpreply"
)

// FuzzReply: whatever the next hop answers, what continues to the client are lines of SMTP that
// say the same code, however the answer came.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250-SIZE 10\r\n250 8BITMIME\r\n", "250\r\n", "250-a\r\n550 b\r\n", "354 \x00\xff\r\n", "250-\r\n250-\r\n", "999 x\r\n", "2500\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readReply(bufio.NewReaderSize(bytes.NewReader(in), readBuffer))
		slow, errSlow := readReply(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(in)), readBuffer))
		if (err == nil) != (errSlow == nil) || got.String() != slow.String() {
			t.Fatalf("%q is %v, %v; octet by octet %v, %v", in, got, err, slow, errSlow)
		}
		if err != nil {
			return
		}
		parseCapabilities(got)
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		got.write(w)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitAfterSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			if text := strings.TrimSuffix(line, "\r\n"); len(text) > smtpreply.MaxLine-2 || strings.ContainsAny(text, "\r\n\x00") {
				t.Fatalf("%q goes on as %q", in, line)
			}
		}
		again, err := readReply(bufio.NewReaderSize(&out, readBuffer))
		if err != nil || again.code != got.code || len(again.lines) != len(got.lines) {
			t.Fatalf("%q goes on as %v, %v; want %v", in, again, err, got)
		}
	})
}

// FuzzCommand: a path that is taken continues as one that reads the same, and no argument makes
// a second command of it.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<a@b.test> SIZE=1 BODY=8BITMIME", "mail from: <>", "RCPT TO:<\"a>b\"@c.test> NOTIFY=NEVER", "MAIL FROM:<a@b> ORCPT=", "MAIL FROM:<a@b\x00>", "XCLIENT NAME=+0D+0A ADDR=IPv6:::1", "EHLO \"\\\">"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		verb, arg, err := splitCommand(line)
		if err != nil {
			return
		}
		if strings.ContainsAny(verb+arg, "\r\n\x00") {
			t.Fatalf("%q is taken as %q %q", line, verb, arg)
		}
		for _, keyword := range []string{"FROM:", "TO:"} {
			p, err := parsePath(arg, keyword)
			if err != nil {
				continue
			}
			again, err := parsePath(keyword+p.String(), keyword)
			if err != nil || again.String() != p.String() {
				t.Errorf("%q goes on as %q, which reads as %q, %v", line, p, again, err)
			}
		}
	})
}

// FuzzXtext: what is written as xtext (RFC 3461 §4) is one word, and reads back.
func FuzzXtext(f *testing.F) {
	for _, s := range []string{"", "a b", "+41=\r\n\x00\xff", "[UNAVAILABLE]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		written := encodeXtext(s)
		if got, ok := decodeXtext(written); !ok || got != s || strings.ContainsFunc(written, func(c rune) bool { return c <= ' ' || c > '~' || c == '=' }) {
			t.Errorf("%q is written %q, read as %q, %v", s, written, got, ok)
		}
		decodeXtext(s)
	})
}
