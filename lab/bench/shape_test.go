package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postseal/lab/bench/corpus"
)

// headerShapes make header sections of about n octets.
var headerShapes = map[string]func(n int) string{
	"fields": func(n int) string { return strings.Repeat("X-Field: one of many short fields\r\n", n/34) },
	"folded": func(n int) string {
		return "X-Folded: x" + strings.Repeat("\r\n\tfolded, and folded again", n/27) + "\r\n"
	},
	"spaces": func(n int) string { return "X-Spaces: x" + strings.Repeat("\r\n\t \t \t ", n/8) + "x\r\n" },
	"long":   func(n int) string { return "X-Long: " + strings.Repeat("x", n) + "\r\n" },
}

// BenchmarkHeader: the cost per octet must not depend on the shape of the header section. The
// fields are signed, too.
func BenchmarkHeader(b *testing.B) {
	for name, shape := range headerShapes {
		for _, size := range []int{4 << 10, 16 << 10, 60 << 10} {
			b.Run(fmt.Sprintf("%s/%s", name, corpus.Size(size)), func(b *testing.B) {
				msg := []byte(shape(size) + string(corpus.Message(corpus.Shape{Algorithm: "ed25519", Canonical: "relaxed", Bytes: 2 << 10, Signed: 1})))
				writeAll(b, msg, len(msg))
			})
		}
	}
}

// BenchmarkChunks: nor on the pieces that it comes in.
func BenchmarkChunks(b *testing.B) {
	for _, chunk := range []int{1, 7, 512, 64 << 10} {
		for _, size := range []int{10 << 10, 100 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%d/%s", chunk, corpus.Size(size)), func(b *testing.B) {
				writeAll(b, corpus.Message(corpus.Shape{Algorithm: "ed25519", Canonical: "relaxed", Bytes: size, Signed: 1}), chunk)
			})
		}
	}
}

// writeAll verifies msg, given in chunks.
func writeAll(b *testing.B, msg []byte, chunk int) {
	v := warm(b)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		s := v.Session(context.Background(), client)
		s.Helo("out.bulk.test")
		t := s.Mail("bounce@bulk.test")
		w := t.MessageWriter()
		for rest := msg; len(rest) > 0; {
			n := min(chunk, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		r, err := t.Finish(context.Background())
		if err != nil || r.DKIM[0].Code != "pass" {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}
