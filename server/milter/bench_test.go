package milter

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"postseal/lab/listenertest"
)

// BenchmarkMessage is one message of 18 fields and a body of 10 KB over a unix socket, on a
// session that is used again, answers known to the cache: what the listener and the engine
// cost together.
func BenchmarkMessage(b *testing.B) {
	e := listenertest.Engine(b, dns(b), "[log]\nlevel = 'error'\n", io.Discard)
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "m"))
	if err != nil {
		b.Fatal(err)
	}
	s := New(e, 0)
	go s.Serve(l)
	defer s.Close()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	m := &mta{t: b, conn: conn, version: 6, actions: 0x1ff, steps: 0x1fffff}
	m.negotiate()
	m.client("192.0.2.1")
	var mail bytes.Buffer
	put := func(c byte, data string) { mail.Write(packet(c, data)) }
	put('M', "<b@pass.test>\x00")
	put('R', "<to@here.test>\x00")
	put('T', "")
	put('L', "From\x00 a@pass.test\x00")
	for range 17 {
		put('L', "X-Field\x00 "+strings.Repeat("x", 60)+"\x00")
	}
	put('N', "")
	put('B', strings.Repeat(strings.Repeat("y", 78)+"\r\n", 128))
	put('E', "")
	r := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(mail.Bytes()); err != nil {
			b.Fatal(err)
		}
		for last := byte(0); last != 'c'; {
			head, err := r.Peek(5)
			if err != nil {
				b.Fatal(err)
			}
			last = head[4]
			n := int(head[2])<<8 | int(head[3])
			if _, err := io.CopyN(io.Discard, r, int64(n+4)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
